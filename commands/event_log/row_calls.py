"""The statements that keep a command's rows outside the log, in the commit of its events."""

from __future__ import annotations

from msgspec import Struct

from commands.event_log.columns import int8
from commands.event_log.secrets import Secrets
from commands.event_log.wire import Call, Statement
from commands.rows import (
    Credential,
    CredentialChange,
    Maintenance,
    SubjectErasure,
    SubjectKey,
)

INSERT_CREDENTIAL = Statement(
    b"insert_credential",
    """
    INSERT INTO owl_private.credentials
        (user_id, email_claim, password_hash, token_version, role, is_active)
    VALUES ($1::uuid, $2::uuid, $3::text, $4::bigint, $5::text, $6::boolean)
    """,
)
CHANGE_CREDENTIAL = Statement(
    b"change_credential",
    """
    UPDATE owl_private.credentials
    SET token_version = $2::bigint, password_hash = coalesce($3::text, password_hash),
        role = coalesce($4::text, role), is_active = coalesce($5::boolean, is_active)
    WHERE user_id = $1::uuid
    """,
)
INSERT_SUBJECT_KEY = Statement(
    b"insert_subject_key",
    "INSERT INTO owl_private.subject_keys (user_id, key) VALUES ($1::uuid, $2::bytea)",
)
ERASE_SUBJECT = Statement(
    b"erase_subject",
    """
    WITH destroyed AS (DELETE FROM owl_private.subject_keys WHERE user_id = $1::uuid)
    DELETE FROM owl_private.credentials WHERE user_id = $1::uuid
    """,
)
SET_MAINTENANCE = Statement(
    b"set_maintenance", "UPDATE owl_private.maintenance SET is_on = $1::boolean"
)
ROW_STATEMENTS = (
    *(INSERT_CREDENTIAL, CHANGE_CREDENTIAL, INSERT_SUBJECT_KEY, ERASE_SUBJECT),
    SET_MAINTENANCE,
)


def row_call(row: Struct, secrets: Secrets) -> Call:
    """The statement that keeps a row.

    Raises:
        TypeError: there is no table for it.
    """
    match row:
        case Credential():
            return Call(
                INSERT_CREDENTIAL,
                (
                    row.user_id.bytes,
                    row.email_claim.bytes,
                    row.password_hash.encode(),
                    int8(row.token_version),
                    row.role.encode(),
                    boolean(row.is_active),
                ),
            )
        case CredentialChange(password_hash=password_hash, role=role, is_active=is_active):
            return Call(
                CHANGE_CREDENTIAL,
                (
                    row.user_id.bytes,
                    int8(row.token_version),
                    None if password_hash is None else password_hash.encode(),
                    None if role is None else role.encode(),
                    None if is_active is None else boolean(is_active),
                ),
            )
        case SubjectKey(user_id=user_id, key=key):
            return Call(INSERT_SUBJECT_KEY, (user_id.bytes, secrets.wrap_key(user_id, key)))
        case SubjectErasure(user_id=user_id):
            return Call(ERASE_SUBJECT, (user_id.bytes,))
        case Maintenance(is_on=is_on):
            return Call(SET_MAINTENANCE, (boolean(is_on),))
        case _:
            raise TypeError(f"no table for a {type(row).__name__}")


def boolean(value: bool) -> bytes:  # noqa: FBT001 - the value itself, no flag
    """A boolean."""
    return b"\x01" if value else b"\x00"
