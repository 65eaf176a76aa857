"""A code becomes money: both streams, or neither."""

from typing import Any
from uuid import UUID

import pytest

from commands.recharge import (
    IssueCodes,
    Issued,
    NewCode,
    RedeemCode,
    Redeemed,
    RevealCode,
    Revealed,
    RevokeCode,
    Revoked,
    issue_codes,
    redeem_code,
    reveal_code,
    revoke_code,
)
from domain.errors import InvalidInput, NotFound, Refused
from domain.facts import Fact
from domain.ids import account_stream
from domain.recharge.code import CodeAlreadyRedeemed, CodeEnded, CodeExhausted, CodeExpired
from domain.recharge.events import CodeIssued, CodeRevealed, CodeRevoked
from domain.wallet.wallet import WALLET
from tests.domain.cast import (
    ALICE,
    BOB,
    CODE_ID,
    NOON,
    RECORD_ID,
    TASK_ID,
    after,
    hold_placed,
    issued,
    recharged,
    redeemed,
)
from tests.memory import MemoryLog

ACCOUNT = account_stream(ALICE)
BY_ALICE = RedeemCode(code_id=CODE_ID, user_id=ALICE, record_id=RECORD_ID, at=NOON)
REVOKED = CodeRevoked(code_id=CODE_ID)


def batch(**changes: Any) -> IssueCodes:
    codes = tuple(
        NewCode(UUID(int=number), f"OWL-{number:04}-****-****", f"sealed-{number}")
        for number in (1, 2, 3)
    )
    order: dict[str, Any] = {
        "batch_id": UUID(int=9),
        "codes": codes,
        "amount_fen": 10_000,
        "max_uses": 2,
        "expires_at": after(60),
        "description": "新用户充值码",
        "at": NOON,
    }
    return IssueCodes(**(order | changes))


def with_code(*facts: Fact) -> MemoryLog:
    log = MemoryLog()
    log.given(CODE_ID, *facts)
    return log


def test_a_batch_is_issued_as_one() -> None:
    log = MemoryLog()
    assert log.run(issue_codes, batch()) == Issued(UUID(int=9), 3)
    assert [stream.int for stream, _ in log.story] == [1, 2, 3]
    assert log.facts(UUID(int=2)) == [
        CodeIssued(
            code_id=UUID(int=2),
            batch_id=UUID(int=9),
            hint="OWL-0002-****-****",
            sealed="sealed-2",
            amount_fen=10_000,
            max_uses=2,
            expires_at=after(60),
            description="新用户充值码",
        )
    ]


def test_of_a_batch_that_would_be_dead_nothing_is_issued() -> None:
    log = MemoryLog()
    with pytest.raises(InvalidInput):
        log.run(issue_codes, batch(expires_at=NOON))
    assert log.story == []


def test_redeeming_credits_the_account_in_the_same_commit() -> None:
    log = with_code(issued())
    assert log.run(redeem_code, BY_ALICE) == Redeemed(10_000, 10_000, RECORD_ID)
    assert log.story[1:] == [(CODE_ID, redeemed()), (ACCOUNT, recharged())]


def test_the_new_balance_includes_what_is_held() -> None:
    log = with_code(issued())
    log.given(ACCOUNT, recharged(5_000), hold_placed(1_050))
    assert log.run(redeem_code, BY_ALICE).new_balance_fen == 15_000
    assert log.state(WALLET, ACCOUNT).holds == {TASK_ID: 1_050}


@pytest.mark.parametrize(
    ("history", "refusal"),
    [
        ((), NotFound),
        ((issued(), REVOKED), CodeEnded),
        ((issued(max_uses=2), redeemed()), CodeAlreadyRedeemed),
        ((issued(), redeemed(user_id=BOB)), CodeExhausted),
        ((issued(expires_at=NOON),), CodeExpired),
    ],
)
def test_a_code_that_gives_nothing_leaves_the_account_alone(
    history: tuple[Fact, ...], refusal: type[Refused]
) -> None:
    log = with_code(*history)
    with pytest.raises(refusal):
        log.run(redeem_code, BY_ALICE)
    assert log.facts(ACCOUNT) == []
    assert log.facts(CODE_ID) == list(history)


def test_revoking_is_done_once_and_takes_no_money_back() -> None:
    log = with_code(issued(max_uses=2))
    log.run(redeem_code, BY_ALICE)
    assert log.run(revoke_code, RevokeCode(code_id=CODE_ID)) == Revoked(CODE_ID, changed=True)
    assert log.run(revoke_code, RevokeCode(code_id=CODE_ID)) == Revoked(CODE_ID, changed=False)
    assert log.facts(CODE_ID) == [issued(max_uses=2), redeemed(), REVOKED]
    assert log.state(WALLET, ACCOUNT).available_fen == 10_000


def test_revealing_gives_the_ciphertext_and_is_on_record() -> None:
    log = with_code(issued())
    revealed = log.run(reveal_code, RevealCode(code_id=CODE_ID))
    assert revealed == Revealed(CODE_ID, "ciphertext")
    assert log.facts(CODE_ID) == [issued(), CodeRevealed(code_id=CODE_ID)]


def test_a_code_that_was_never_issued_is_not_found() -> None:
    with pytest.raises(NotFound):
        MemoryLog().run(revoke_code, RevokeCode(code_id=CODE_ID))
    with pytest.raises(NotFound):
        MemoryLog().run(reveal_code, RevealCode(code_id=CODE_ID))


def test_a_command_names_the_streams_it_will_want() -> None:
    assert BY_ALICE.streams() == (CODE_ID, ACCOUNT)
    assert RevokeCode(code_id=CODE_ID).streams() == (CODE_ID,)
    assert RevealCode(code_id=CODE_ID).streams() == (CODE_ID,)
