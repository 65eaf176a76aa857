"""What stands where nobody reads, and what nobody has signed: found, or not called proven."""

from __future__ import annotations

import psycopg
import pytest

from commands.notary_resuming import HistoryAltered
from domain.audit.checkpoint import checkpoint_in
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog
from tests.audit.conftest import AS_OWNER, Notarised, sign_all, slipped_in_before
from tests.audit.test_verify import forged, verified


def test_nobody_but_a_superuser_writes_before_the_first_position(notarised: Notarised) -> None:
    with psycopg.connect(notarised.conninfo) as connection:
        with pytest.raises(psycopg.errors.CheckViolation, match="events_from_one"):
            slipped_in_before(connection, 1)
        connection.rollback()


@pytest.mark.anyio
async def test_the_notary_signs_nothing_behind_an_event_before_the_first(
    notarised: Notarised,
) -> None:
    with psycopg.connect(notarised.conninfo) as connection:
        connection.execute(AS_OWNER)
        slipped_in_before(connection, 1)
    with pytest.raises(HistoryAltered, match="stands at 0, before the first position"):
        await sign_all(notarised.conninfo)


def test_what_no_checkpoint_covers_is_not_called_unaltered(notarised: Notarised) -> None:
    """Checkpoints and hashes gone, an event changed: only who held one outside can tell."""
    with psycopg.connect(notarised.conninfo) as attacked:
        attacked.execute(AS_OWNER)
        log = StoredLog(attacked)
        held = checkpoint_in(log.last_checkpoint() or "", notarised.key, is_signed)
        forged(attacked, "actor", 130, 0, 0)
        attacked.execute("DELETE FROM owl_log.signed_checkpoints WHERE size > 100")
        attacked.execute("DELETE FROM owl_log.tiles WHERE level > 0 OR number > 0")
        attacked.execute("UPDATE owl_log.tiles SET hashes = substr(hashes, 1, 100 * 32)")
        found = verified(log, notarised.key)
        assert (found.is_right, found.covered) == (True, 100)
        assert not verified(log, notarised.key, held=[held]).is_right
        attacked.execute("DELETE FROM owl_log.signed_checkpoints; DELETE FROM owl_log.tiles")
        (finding,) = verified(log, notarised.key).findings
        assert (finding.position, finding.check) == (1, "CHECKPOINT")
        assert "no checkpoint covers any event" in finding.message
        assert not verified(log, notarised.key, held=[held]).is_right
        attacked.rollback()
