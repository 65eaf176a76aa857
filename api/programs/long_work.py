"""The child of a server that looks through the whole log, or through all rows of a read model.

So a look neither holds the event loop up nor takes memory of the server; who asked can leave at
any moment, and the child is killed. It ends by itself when the server is gone.
"""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import Final

import msgspec
import psycopg
from msgspec.structs import replace

from api.long_work import (
    Compare,
    Done,
    Export,
    Failed,
    NotDone,
    Order,
    Reconcile,
    Told,
    ToSign,
    Verify,
    Why,
    Word,
)
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from domain.audit.checkpoint import Sign, VerifierKey
from domain.audit.refold import Refold
from domain.audit.rotation import KeyChain
from projections.audit.certificate import certificate, summary
from projections.audit.export import HistoryDiffers, Stretch, export
from projections.audit.proving import NotSigned
from projections.audit.reconcile import reconcile
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog
from projections.audit.verify import Verification
from projections.catalogue import READ_MODELS
from projections.not_possible import NotPossible
from projections.verified import Verified
from projections.verifying import verify

TELL_EVERY_S: Final = 1.0
ROWS_BYTES_MAX: Final = 8 << 20
"""Of the rows in one answer, which the server reads as one line."""
NICENESS: Final = 5
"""Requests come first."""


def main() -> None:
    """Do what is ordered on standard input."""
    os.nice(NICENESS)
    said = SimpleQueue[bytes]()
    Thread(target=_listen, args=(said,), daemon=True).start()
    order = msgspec.json.decode(said.get(), type=Order)
    try:
        if isinstance(order.work, Compare):
            _say(_compared(order.conninfo, order.work))
            return
        with StoredLog.open(order.conninfo) as log:
            _say(_done(log, order, order.work, said))
    except NotPossible as error:
        _say(NotDone(error.read_model, error.why, error.about))
    except NotSigned as error:
        _fail("not_signed", error)
    except HistoryDiffers as error:
        _fail("differs", error)
    except psycopg.OperationalError as error:
        _fail("out_of_reach", error)


def _compared(conninfo: str, work: Compare) -> Done:
    model = next(each for each in READ_MODELS if each.name == work.read_model)
    secrets = Secrets(pepper=work.pepper, sealing_key=work.sealing_key)
    with EventLog.open(conninfo, secrets=secrets, require_durable=False) as log:
        feed = log.feed() if model.source == "business" else log.telemetry.feed()
        return Done(_json(_fitting(verify(conninfo, feed, model, limit=work.limit))))


def _fitting(found: Verified) -> Verified:
    """With the first rows alone, where all of them are too large for an answer."""
    left, rows = ROWS_BYTES_MAX, []
    for row in found.differences:
        left -= len(msgspec.json.encode(row))
        if left < 0:
            break
        rows.append(row)
    return replace(found, differences=tuple(rows))


def _done(
    log: StoredLog, order: Order, work: Export | Reconcile | Verify, said: SimpleQueue[bytes]
) -> Done:
    own = VerifierKey(log.origin(), order.public_key)
    keys = KeyChain.of(own, log.links(), is_signed)
    sign, progress = _signing(keys.newest, said), _progress()
    match work:
        case Export():
            stretch = Stretch(
                first=work.first, last=work.last, withhold=work.withhold, form=work.form
            )
            with os.fdopen(work.output, "wb") as file:
                manifest = export(log, file, stretch, keys=keys, sign=sign, progress=progress)
            return Done(_json(manifest))
        case Reconcile():
            sums = reconcile(log, at=work.at, progress=progress)
            return Done(_json(summary(sums)), certificate(sums, keys.newest, sign))
        case Verify():
            refold = Refold() if work.since is None else None
            run = Verification(log, key=own, since=work.since or 0, refold=refold)
            found = run.run(progress)
            return Done(_json(msgspec.structs.asdict(found) | {"is_right": found.is_right}))


def _listen(said: SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        said.put(line)
    os._exit(1)  # the server is gone, or it wants no more of this


def _signing(key: VerifierKey, said: SimpleQueue[bytes]) -> Sign:
    def sign(message: bytes) -> bytes:
        _say(ToSign(str(key), message))
        return base64.b64decode(said.get())

    return sign


def _progress() -> Callable[[int, int], None]:
    told = monotonic() - TELL_EVERY_S

    def tell(reached: int, last: int) -> None:
        nonlocal told
        if monotonic() - told >= TELL_EVERY_S:
            told = monotonic()
            _say(Told(reached, last))

    return tell


def _fail(why: Why, error: Exception) -> None:
    _say(Failed(why, str(error)))


def _say(word: Word) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(word) + b"\n")
    sys.stdout.buffer.flush()


def _json(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


if __name__ == "__main__":
    main()
