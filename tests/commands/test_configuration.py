"""The configuration is one stream; a change is one fact, or none."""

import pytest

from commands.configuration import ChangeConfiguration, ConfigurationNow, change_configuration
from domain.errors import InvalidInput
from domain.ids import CONFIGURATION_STREAM
from domain.system.configuration import Configuration
from domain.system.events import ConfigurationChanged
from tests.memory import MemoryLog


def test_a_change_is_recorded_and_the_whole_is_answered() -> None:
    log = MemoryLog()
    command = ChangeConfiguration(changes={"maintenance_mode": True})
    whole = ConfigurationNow(Configuration(maintenance_mode=True))
    assert log.run(change_configuration, command) == whole
    assert log.run(change_configuration, command) == whole
    assert log.story == [
        (
            CONFIGURATION_STREAM,
            ConfigurationChanged(
                before={"maintenance_mode": False}, after={"maintenance_mode": True}
            ),
        )
    ]


def test_one_bad_key_leaves_all_as_they_were() -> None:
    log = MemoryLog()
    changes = {"maintenance_mode": True, "requeue_budget": -1}
    with pytest.raises(InvalidInput):
        log.run(change_configuration, ChangeConfiguration(changes=changes))
    assert log.story == []


def test_a_command_names_the_stream_it_will_want() -> None:
    assert ChangeConfiguration(changes={}).streams() == (CONFIGURATION_STREAM,)
