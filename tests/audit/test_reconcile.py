"""Every fen adds up, and where one does not, the check and the position say so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from domain.audit.checkpoint import opened
from domain.audit.refold import Refold
from projections.audit.reconcile import Reconciled, reconcile
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog
from projections.catalogue import BUSINESS
from projections.migrate import prepare
from projections.runner import Runner
from tests.audit.conftest import Notarised, Owl, answer, change
from tests.domain.cast import ALICE, BOB

SECRETS = Secrets(pepper=b"p" * 32, sealing_key=b"s" * 32)


@pytest.fixture
def projected(notarised: Notarised) -> Notarised:
    """The read models have seen all of the log."""
    prepare(notarised.conninfo)
    with EventLog.open(notarised.conninfo, secrets=SECRETS, require_durable=False) as log:
        runner = Runner(log.feed(), notarised.conninfo, BUSINESS, projected=None)
        while runner.step():
            pass
        runner.close()
    return notarised


def reconciled(conninfo: str, at: int | None = None) -> Reconciled:
    with StoredLog.open(conninfo) as log:
        return reconcile(log, at=at)


# the table itself refuses a balance that its own columns do not add up to
ONE_FEN_MORE = """
    UPDATE read.users SET balance_fen = balance_fen + 1, granted_fen = granted_fen + 1
"""


def test_a_log_and_its_read_models_reconcile(projected: Notarised) -> None:
    found = reconciled(projected.conninfo)
    assert found.findings == ()
    head = len(projected.events)
    assert found.compared == {"users": head, "recharge_codes": head}
    assert {account.user_id for account in found.accounts} == {ALICE, BOB}
    assert found.recharged_fen == found.wallets_fen + found.revenue_fen
    assert found.issued_fen == found.recharged_fen + found.outstanding_fen


def test_as_of_any_position_it_is_what_the_events_until_then_say(
    projected: Notarised,
) -> None:
    for at in (0, 1, 333, 900):
        refold = Refold()
        for event in projected.events[:at]:
            refold.take(event)
        found = reconciled(projected.conninfo, at)
        assert found.findings == ()
        assert found.wallets_fen == refold.wallets_fen
        assert found.compared == {}


@pytest.mark.parametrize(
    ("statement", "check", "words"),
    [
        (ONE_FEN_MORE, "R2", "users shows balance"),
        ("DELETE FROM read.users", "R2", "no row"),
        ("UPDATE read.recharge_codes SET used_count = 0", "R4", "recharge_codes shows"),
    ],
)
def test_a_read_model_that_shows_something_else_is_found(
    projected: Notarised, statement: str, check: str, words: str
) -> None:
    change(projected.conninfo, statement)
    first = reconciled(projected.conninfo).findings[0]
    assert first.check == check
    assert words in first.message


def test_a_forged_amount_is_found_at_its_position(projected: Notarised) -> None:
    target = next(e for e in projected.events if e.tag == "wallet.hold_settled/1")
    change(
        projected.conninfo,
        "UPDATE owl_log.events SET state = convert_to(replace(convert_from(state, 'UTF8'),"
        """ '"charged_fen":', '"charged_fen":1'), 'UTF8')"""
        f" WHERE notification_id = {target.position}",
    )
    found = reconciled(projected.conninfo)
    assert found.findings[0].position == target.position
    assert found.first("R3") == found.findings[0]


@pytest.mark.parametrize(
    ("tag", "field", "rule", "words"),
    [
        ("wallet.account_recharged/1", "amount_fen", "R1", "postings"),
        ("wallet.account_recharged/1", "amount_fen", "R6", "codes paid"),
        ("tasks.task_completed/1", "cost_fen", "R5", ""),
    ],
)
def test_each_rule_finds_what_breaks_it(
    projected: Notarised, tag: str, field: str, rule: str, words: str
) -> None:
    said = f'"{field}":'.encode()
    target = next(e for e in projected.events if e.tag == tag and said in e.state)
    change(
        projected.conninfo,
        "UPDATE owl_log.events SET state = convert_to(replace(convert_from(state, 'UTF8'),"
        f""" '"{field}":', '"{field}":1'), 'UTF8')"""
        f" WHERE notification_id = {target.position}",
    )
    found = reconciled(projected.conninfo).first(rule)
    assert found is not None
    assert (found.check, words in found.message) == (rule, True)


def test_the_program_prints_reports_and_certifies(
    owl: Owl, projected: Notarised, tmp_path: Path
) -> None:
    assert "right" in owl("reconcile").stdout
    report, certificate = tmp_path / "report.csv", tmp_path / "certificate"
    arguments = ("--report", str(report), "--certificate", str(certificate), "--json")
    found = answer(owl("reconcile", "--account", str(ALICE), *arguments))
    assert found["is_right"] is True
    assert [mine["user_id"] for mine in found["accounts"]] == [str(ALICE)]
    assert len(report.read_text().splitlines()) == 3
    text = opened(certificate.read_text(), projected.key, is_signed)
    said: dict[str, Any] = json.loads(text.split("\n")[2])
    assert said["is_right"] is True
    assert said["position"] == len(projected.events)


def test_the_exit_code_tells_that_something_does_not_add_up(
    owl: Owl, projected: Notarised
) -> None:
    change(projected.conninfo, "UPDATE read.users SET held_fen = held_fen + 1")
    assert "users shows" in owl("reconcile", code=1).stdout.replace("\n", " ")
