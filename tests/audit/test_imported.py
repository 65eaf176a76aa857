"""A log that was imported elsewhere: signed by another key, held to what was kept before."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from commands.signatures import SigningKey
from domain.audit.checkpoint import Checkpoint, VerifierKey, signed
from projections.audit.stored import StoredLog
from tests.audit.conftest import KEY, Notarised, Owl, answer, sign_all

OTHER_SEED = bytes(range(32, 64))
OTHER = SigningKey(OTHER_SEED)


def test_a_copy_signed_with_another_key_is_held_to_a_checkpoint_of_the_first(
    owl: Owl, notarised: Notarised, tmp_path: Path, session_stack: Any
) -> None:
    path, key, note = tmp_path / "b.owlb", tmp_path / "owl.key", tmp_path / "held"
    key.write_text(owl("key").stdout)
    note.write_text(owl("checkpoint", "--at", "700").stdout)
    owl("export", "-o", str(path))
    conninfo = session_stack.create_database()
    elsewhere = ("--database-url", conninfo)
    owl("import", str(path), "--pub", str(key), *elsewhere)
    assert asyncio.run(sign_all(conninfo, OTHER)) == len(notarised.events)
    (tmp_path / "audit-signing-key").write_text(OTHER_SEED.hex())
    theirs = ("--checkpoint-pub", str(key), *elsewhere)

    found = answer(owl("verify", "--checkpoint", str(note), *theirs, "--json"))
    assert (found["is_right"], found["signed"]) == (True, len(notarised.events))
    found = answer(owl("verify", "--since", str(note), *theirs, "--json"))
    assert (found["is_right"], found["since"]) == (True, 700)

    said = owl("verify", "--checkpoint", str(note), *elsewhere, code=2).stderr
    assert "--checkpoint-pub" in said

    forged = Checkpoint(notarised.key.name, 700, bytes(32))
    note.write_text(signed(forged.text, notarised.key, KEY.sign))
    found = answer(owl("verify", "--checkpoint", str(note), *theirs, "--json", code=1))
    assert any("held outside" in each["message"] for each in found["findings"])

    stranger = VerifierKey("owl-factory/another", KEY.public_key)
    another = ("--checkpoint", str(note), "--checkpoint-pub", str(stranger), *elsewhere)
    assert (
        "--checkpoint-pub is of owl-factory/another" in owl("verify", *another, code=2).stderr
    )
    with StoredLog.open(conninfo) as log:
        assert log.origin() == notarised.key.name
    session_stack.drop_database(conninfo)
