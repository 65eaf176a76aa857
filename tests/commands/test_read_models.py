"""What operators do with read models is in the log."""

from commands.read_models import NoteAct, note_act
from domain.ids import READ_MODELS_STREAM
from domain.system.events import ReadModelSwitched
from domain.system.read_models import RebuildPaused
from tests.memory import MemoryLog


def test_every_act_is_recorded_in_one_stream() -> None:
    log = MemoryLog()
    acts = (
        RebuildPaused(read_model="users"),
        ReadModelSwitched(
            read_model="users",
            before_generation=1,
            after_generation=2,
            at_position=41,
            checksum="c0ffee",
        ),
    )
    for act in acts:
        assert NoteAct(fact=act).streams() == (READ_MODELS_STREAM,)
        log.run(note_act, NoteAct(fact=act))
    assert log.story == [(READ_MODELS_STREAM, act) for act in acts]
