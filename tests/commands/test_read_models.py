"""What operators do with read models is in the log."""

from commands.read_models import NoteSwitch, note_switch
from domain.ids import READ_MODELS_STREAM
from domain.system.events import ReadModelSwitched
from tests.memory import MemoryLog


def test_every_switch_is_recorded_in_one_stream() -> None:
    log = MemoryLog()
    for generation in (1, 2):
        command = NoteSwitch(
            read_model="users",
            before_generation=generation,
            after_generation=generation + 1,
            at_position=40 + generation,
            checksum="c0ffee",
        )
        assert command.streams() == (READ_MODELS_STREAM,)
        log.run(note_switch, command)
    assert log.story == [
        (
            READ_MODELS_STREAM,
            ReadModelSwitched(
                read_model="users",
                before_generation=generation,
                after_generation=generation + 1,
                at_position=40 + generation,
                checksum="c0ffee",
            ),
        )
        for generation in (1, 2)
    ]
