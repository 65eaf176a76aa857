"""``owl audit`` as an auditor calls it: what it prints, and how it exits."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from domain.audit.canonical import envelope_of
from domain.audit.checkpoint import checkpoint_in
from domain.audit.merkle import leaf_hash
from domain.audit.proofs import verify_inclusion
from projections.audit.signature import is_signed
from projections.migrate import prepare
from tests.audit.conftest import Notarised, Owl, answer, change


def test_an_honest_log_is_said_to_be_right(owl: Owl, notarised: Notarised) -> None:
    said = owl("verify").stdout
    assert "nothing was altered" in said
    assert "not the telemetry" in said
    found = answer(owl("verify", "--json"))
    assert found["is_right"] is True
    assert (found["logs_covered"], found["logs_not_covered"]) == (["business"], ["telemetry"])
    assert found["head"] == len(notarised.events)
    assert answer(owl("verify", "--since", "700", "--json"))["root"] == found["root"]


def test_a_changed_event_is_named_and_the_exit_code_tells(
    owl: Owl, notarised: Notarised
) -> None:
    change(
        notarised.conninfo,
        "UPDATE owl_log.events SET actor = 'user:x' WHERE notification_id = 421",
    )
    assert "first difference: position 421" in owl("verify", code=1).stderr
    found = answer(owl("verify", "--json", code=1))
    assert found["findings"][0]["position"] == 421


def test_what_an_auditor_kept_is_enough_to_see_a_rewritten_history(
    owl: Owl, notarised: Notarised, tmp_path: Path
) -> None:
    key, note = tmp_path / "key", tmp_path / "note"
    key.write_text(owl("key").stdout)
    note.write_text(owl("checkpoint").stdout)
    kept = ("--checkpoint", str(note), "--pub", str(key))
    owl("verify", *kept)
    change(
        notarised.conninfo,
        "DELETE FROM owl_log.events WHERE notification_id > 900;"
        "DELETE FROM owl_log.tiles WHERE level = 0 AND number = 3;"
        "DELETE FROM owl_log.signed_checkpoints WHERE size > 700",
    )
    found = answer(owl("verify", "--json", *kept, code=1))
    assert found["findings"][-1]["position"] == 901


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("verify", "--pub", "nothing+here"), 2, "verifier key"),
        (("verify", "--pub", "/nowhere"), 2, "cannot be read"),
        (("verify", "--checkpoint", "/nowhere"), 2, "cannot be read"),
        (("verify", "--since", "-1"), 2, "--since"),
        (("verify", "--database-url", "postgresql://127.0.0.1:1/x"), 3, "does not answer"),
    ],
)
def test_what_is_in_the_way_is_said_in_a_sentence(
    owl: Owl, arguments: Sequence[str], code: int, words: str
) -> None:
    result = owl(*arguments, code=code)
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_a_receipt_proves_an_event_named_by_position_or_id_and_stands_alone(
    owl: Owl, notarised: Notarised, tmp_path: Path
) -> None:
    event, path = notarised.events[420], tmp_path / "receipt"
    name = f"{UUID(bytes=event.stream)}/{event.version}"
    said = owl("receipt", name, "-o", str(path)).stdout
    assert said == f"{path} proves that {name} is in the log\n"
    assert (
        path.read_text() == owl("receipt", "421").stdout == owl("show", name, "--proof").stdout
    )
    assert answer(owl("show", name, "--json"))["position"] == 421
    head, _, note = path.read_text().partition("\n\n")
    first, extra, index, *hashes = head.split("\n")
    assert (first, index) == ("c2sp.org/tlog-proof@v1", "index 420")
    envelope = base64.b64decode(extra.removeprefix("extra "))
    assert envelope == envelope_of(event)
    checkpoint = checkpoint_in(note, notarised.key, is_signed)
    verify_inclusion(
        index=420,
        size=checkpoint.size,
        leaf=leaf_hash(envelope),
        proof=[base64.b64decode(each) for each in hashes],
        root=checkpoint.root,
    )
    for wrong, code in (("0", 2), ("x/1", 2), (f"{UUID(int=7)}/1", 1), ("999999", 1)):
        owl("receipt", wrong, code=code)


def test_an_auditor_asks_a_sandbox_in_sql(owl: Owl, notarised: Notarised) -> None:
    prepare(notarised.conninfo)
    found = answer(
        owl("replay", "--to", "500", "--projection", "tasks", "--into", "q1", "--json")
    )
    told = {each["table"]: each["rows"] for each in found["tables"]}
    with psycopg.connect(notarised.conninfo) as connection:
        counted = connection.execute("SELECT count(*) FROM q1.tasks").fetchone()
    assert (told["tasks"],) == counted != (0,)
    assert (found["to_open"], found["to_drop"]) == (
        'SET search_path TO "q1"',
        'DROP SCHEMA "q1" CASCADE',
    )
    again = owl("replay", "--to", "500", "--into", "q1", code=1)
    assert "DROP SCHEMA" in again.stderr
    assert "the log ends at" in owl("replay", "--to", "999999", "--into", "q2", code=1).stderr
    said = owl("replay", "--to", "900", "--into", "q2")
    assert 'and there SET search_path TO "q2";' in said.stderr
    assert 'DROP SCHEMA "q2" CASCADE;' in said.stderr
    assert "small letters" in owl("replay", "--to", "9", "--into", "a,public", code=1).stderr


def test_who_asks_beyond_the_log_is_told_where_it_ends(owl: Owl) -> None:
    beyond = ("999999",)
    for words in (("show",), ("show", "--raw"), ("show", "--proof"), ("receipt",), ("trace",)):
        said = owl(*words, *beyond, code=1).stderr
        assert "event 999999: the log ends at event 1000" in said, words
