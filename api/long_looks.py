"""Looks through the whole log, each by a child process: few at once, gone with who asked.

A place is taken before the look is recorded, and given back when its answer is over.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final, Literal, TypeAlias

import msgspec

from api.long_work import Done, Export, Failed, NotDone, Order, Told, ToSign, Word, Work
from api.messages import Text
from api.platform import Platform
from api.rejection import Rejection
from commands.signatures import SigningKeyMissing
from domain.audit.checkpoint import VerifierKey
from domain.ports import OutOfReach
from projections.not_possible import NotPossible

Kind: TypeAlias = Literal["export", "fold", "compare"]
MOST: Final[dict[Kind, int]] = {"export": 2, "fold": 1, "compare": 1}
"""So many at once in a process: a fold holds every account, code and task in memory."""
RETRY_AFTER_S: Final = 30
LINE_BYTES_MAX: Final = 16 << 20
_MODULE: Final = "api.programs.long_work"
NOT_SIGNED: Final = Text(
    "该位置尚未被签名，请稍后再试", "No checkpoint covers it yet: try again in a moment"
)
DIFFERS: Final = Text(
    "日志与其签名不一致，请立即运行 owl audit verify 找出差异",
    "The log is not what was signed: run `owl audit verify` to see where it differs",
)
OTHER_KEY: Final = Text(
    "日志已改用另一把密钥签名，请在密钥所在的机器上运行 owl audit",
    "The log is signed by another key than this server has: use `owl audit` where that key is",
)


class LongLooks:
    """A process's looks."""

    def __init__(self, platform: Platform) -> None:
        conninfo = platform.pool.conninfo
        assert isinstance(conninfo, str), "the pool is told its database once"
        self._conninfo = conninfo
        self._keys = platform.notary_keys
        self.under_way: dict[Kind, int] = dict.fromkeys(MOST, 0)

    def take(self, kind: Kind) -> None:
        """Take a place; whoever has one gives it back with ``leave``.

        Raises:
            Rejection: there is none.
        """
        if self.under_way[kind] >= MOST[kind]:
            raise Rejection("RATE_LIMITED", headers={"Retry-After": str(RETRY_AFTER_S)})
        self.under_way[kind] += 1

    def leave(self, kind: Kind) -> None:
        """Give the place back."""
        self.under_way[kind] -= 1

    async def look(self, work: Work) -> AsyncGenerator[Told | Done, None]:
        """How far it is, now and then, and at last what was found. To be closed by who reads.

        Raises:
            Rejection: no checkpoint covers it, or the log is not what was signed.
            NotPossible: there is nothing to compare, or not now.
            OutOfReach: the database, or the child, is gone.
        """
        given = (work.output,) if isinstance(work, Export) else ()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _MODULE),
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=given,
            limit=LINE_BYTES_MAX,
        )
        try:
            own = self._keys.own.public_key
            order = Order(conninfo=self._conninfo, public_key=own, work=work)
            await _tell(process, msgspec.json.encode(order))
            assert process.stdout is not None, "it is a pipe"
            async for line in process.stdout:
                word = msgspec.json.decode(line, type=Word)
                match word:
                    case Told():
                        yield word
                    case ToSign():
                        signature = await asyncio.to_thread(self._signed, word)
                        await _tell(process, base64.b64encode(signature))
                    case Done():
                        yield word
                        return
                    case Failed():
                        raise _refusal(word)
                    case NotDone():
                        raise NotPossible(word.read_model, word.why, **word.about)
            raise OutOfReach("the child that looked through the log died")
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _signed(self, word: ToSign) -> bytes:
        try:
            return self._keys.private(VerifierKey.parse(word.key)).sign(word.message)
        except SigningKeyMissing:
            raise Rejection("INVALID_STATE", message=OTHER_KEY) from None


async def _tell(process: Process, line: bytes) -> None:
    assert process.stdin is not None, "it is a pipe"
    process.stdin.write(line + b"\n")
    with suppress(ConnectionError):  # a child that died says so by the end of its words
        await process.stdin.drain()


def _refusal(word: Failed) -> Exception:
    match word.why:
        case "not_signed":
            return Rejection("INVALID_STATE", message=NOT_SIGNED)
        case "differs":
            return Rejection("INVALID_STATE", message=DIFFERS)
        case "out_of_reach":
            return OutOfReach(word.message)
