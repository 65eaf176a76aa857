"""Statements that commit together, in one message to Postgres and its one answer.

What is sent up to a sync is one transaction, all or nothing (PostgreSQL documentation,
"Pipelining"). psycopg's own pipeline sends each statement by itself and looks for answers in
between: of a small batch that was most of what it cost, on both sides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import count
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

PREPARED_MAX: Final = 500
"""All read models together have some fifty; those of a new generation are others."""

Statement: TypeAlias = tuple[str, Sequence[str]]
"""With ``%s`` for each parameter, and the parameters as Postgres reads them."""


class OneTrip:
    """Commits on a connection that somebody else owns; each statement is prepared once."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._names: dict[str, bytes] = {}
        self._numbers = count(1)

    def commit(self, statements: Sequence[Statement]) -> None:
        """All of them, or nothing.

        Raises:
            psycopg.Error: what the first said that was not taken.
        """
        self._keep_few()
        pgconn, sent = self._connection.pgconn, 0
        preparing: dict[int, str] = {}  # by the place of its answer
        pgconn.enter_pipeline_mode()
        for statement, parameters in statements:
            if statement not in self._names:
                self._names[statement] = b"owl_%d" % next(self._numbers)
                pgconn.send_prepare(self._names[statement], _numbered(statement))
                preparing[sent] = statement
                sent += 1
            values = [value.encode() for value in parameters]
            pgconn.send_query_prepared(self._names[statement], values)
            sent += 1
        pgconn.pipeline_sync()
        answers = self._connection.wait(_answers(pgconn))
        pgconn.exit_pipeline_mode()
        for place, statement in preparing.items():
            if answers[place].status != ExecStatus.COMMAND_OK:
                del self._names[statement]
        for answer in answers:
            if answer.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(answer)

    def _keep_few(self) -> None:
        while len(self._names) > PREPARED_MAX:
            name = self._names.pop(next(iter(self._names)))
            self._connection.execute(b"DEALLOCATE %b" % name)


def _numbered(statement: str) -> bytes:
    numbers = count(1)
    return re.sub("%s", lambda _: f"${next(numbers)}", statement).encode()


def _answers(pgconn: PGconn) -> PQGen[list[PGresult]]:
    """One a statement, and last that of the sync: until it is there nothing is committed."""
    yield from generators.send(pgconn)
    answers: list[PGresult] = []
    while not answers or answers[-1].status != ExecStatus.PIPELINE_SYNC:
        answers += yield from generators.fetch_many(pgconn)
        if pgconn.status != ConnStatus.OK:
            raise psycopg.OperationalError("the server closed the connection")
    return answers
