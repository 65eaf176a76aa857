"""Commands about the platform's configuration: read it exactly, change it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct

from commands.rows import Maintenance
from domain.ids import CONFIGURATION_STREAM
from domain.ports import UnitOfWork
from domain.system.configuration import CONFIGURATION, Configuration, change


class ChangeConfiguration(Struct, frozen=True, kw_only=True):
    """Replace the named keys, all or none."""

    changes: dict[str, Any]

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (CONFIGURATION_STREAM,)


class ReadConfiguration(Struct, frozen=True, kw_only=True):
    """Ask for the configuration that the next command will be decided with."""

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (CONFIGURATION_STREAM,)


class ConfigurationNow(Struct, frozen=True):
    """The whole configuration after the command."""

    configuration: Configuration


def change_configuration(command: ChangeConfiguration, work: UnitOfWork) -> ConfigurationNow:
    """Change the configuration; nothing is recorded when no key differs.

    Raises:
        InvalidInput: an unknown key or a value out of range.
    """
    configuration = work.load(CONFIGURATION, CONFIGURATION_STREAM)
    was_on = configuration.state.maintenance_mode
    configuration.append(*change(configuration.state, command.changes))
    is_on = configuration.state.maintenance_mode
    if is_on != was_on:
        work.keep(Maintenance(is_on))
    return ConfigurationNow(configuration.state)


def read_configuration(_command: ReadConfiguration, work: UnitOfWork) -> ConfigurationNow:
    """Change nothing."""
    return ConfigurationNow(work.load(CONFIGURATION, CONFIGURATION_STREAM).state)
