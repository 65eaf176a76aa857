"""Compares two generations: the same rows in any order give the same checksum."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import psycopg

from projections.read_model import ReadModel
from projections.statements import checksum_statements, schema_of


def table_checksums(
    connection: psycopg.Connection[Any], read_model: ReadModel, generation: int
) -> dict[str, str]:
    """For each table how many rows it has and the sum of their hashes."""
    schema = schema_of(read_model.name, generation)
    checksums: dict[str, str] = {}
    for table, statement in checksum_statements(schema, read_model):
        row = connection.execute(statement).fetchone()
        assert row is not None, "an aggregate gives one row"
        checksums[table] = f"{row[0]}:{row[1]}"
    return checksums


def digest(checksums: dict[str, str]) -> str:
    """One short text for all tables."""
    return sha256(repr(sorted(checksums.items())).encode()).hexdigest()[:16]
