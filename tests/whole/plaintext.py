"""Where somebody's words still stand, in any spelling: tables, the broker's messages, files."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import nats
import psycopg
from nats.js.errors import NotFoundError
from psycopg import sql

TABLES = """
    SELECT nspname, relname FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid
    WHERE relkind IN ('r', 'm') AND nspname <> 'information_schema'
        AND (nspname <> 'pg_catalog' OR relname IN ('pg_statistic', 'pg_largeobject'))
"""
COPY = sql.SQL("COPY {table} TO STDOUT (FORMAT {how})")


def spellings(word: str) -> set[bytes]:
    """As UTF-8, escaped in JSON or in an address, within base64; each of these as hex too."""
    plain = word.encode()
    escaped = json.dumps(word)[1:-1]
    spelled = {plain, escaped.encode(), escaped.upper().replace("\\U", "\\u").encode()}
    spelled |= {quote(word).encode(), quote(word).lower().encode()}
    for before in range(3):
        text = base64.b64encode(bytes(before) + plain)
        whole = text[-(-before * 8 // 6) : (before + len(plain)) * 8 // 6]
        spelled |= {whole, whole.translate(bytes.maketrans(b"+/", b"-_"))}
    return spelled | {each.hex().encode() for each in spelled}


class Plaintext:
    """Looks for some words, and says where it has found which."""

    def __init__(self, words: Iterable[str]) -> None:
        self._spellings = {word: spellings(word) for word in words}

    def among(self, places: Iterable[tuple[str, bytes]]) -> set[tuple[str, str]]:
        """Of named contents: each word that is there, with the place."""
        found = set()
        for place, content in places:
            forms = (content, content.lower())
            for word, spelled in self._spellings.items():
                if any(each in form for form in forms for each in spelled):
                    found.add((word, place))
        return found


def tables_of(database_url: str) -> Iterator[tuple[str, bytes]]:
    """Every table as it is stored: text as UTF-8, bytes as bytes; what the planner sampled too.

    As a superuser, who sees everything.
    """
    with psycopg.connect(database_url) as connection:
        for schema, table in connection.execute(TABLES).fetchall():
            # what the planner sampled is of any type, some of which have no binary form
            how = sql.SQL("text" if schema == "pg_catalog" else "binary")
            statement = COPY.format(table=sql.Identifier(schema, table), how=how)
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                yield f"{schema}.{table}", b"".join(copy)


async def messages_of(nats_url: str) -> list[tuple[str, bytes]]:
    """Every message that the broker keeps, with its subject and its headers."""
    client = await nats.connect(nats_url)
    found = []
    try:
        broker = client.jetstream()
        for stream in await broker.streams_info():
            name = str(stream.config.name)
            for sequence in range(max(1, stream.state.first_seq), stream.state.last_seq + 1):
                try:
                    message = await broker.get_msg(name, sequence)
                except NotFoundError:  # it was acknowledged, or has expired
                    continue
                said = f"{message.subject} {message.headers}".encode()
                found.append((name, said + (message.data or b"")))
    finally:
        await client.close()
    return found


def files_in(*directories: Path) -> Iterator[tuple[str, bytes]]:
    """Every file; what goes meanwhile is not there any more."""
    for directory in directories:
        for path in directory.rglob("*"):
            try:
                if path.is_file():
                    yield path.name, path.read_bytes()
            except FileNotFoundError:
                continue
