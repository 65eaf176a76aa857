"""The settings of a process: one frozen struct, read once from the environment.

Law: only the programs of this room call ``load``; no other module reads the environment.
Every setting is a variable ``OWL_<NAME>``; what it means stands beside its field.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Profile = Literal["dev", "production", "test"]

DEFAULT_DATA_DIR = ".owl"
_PREFIX = "OWL_"
_OTHERS = frozenset({"OWL_AGENT_", "OWL_API_", "OWL_TEST_", "OWL_FAIL"})
"""Beginnings of variables that belong to other programs of the same name."""
_CLIENT = "OWL_API_"
CLIENT_VARIABLES = frozenset(
    {"OWL_API_URL", "OWL_API_TOKEN", "OWL_API_LANGUAGE", "OWL_API_PROFILE"}
)
"""What a command that asks the API is told: where it is, who asks, in which language."""
_NETWORKS = ("trusted_proxies", "fetch_networks")
_AGENTS_NETWORKS = "OWL_AGENT_ALLOW_NETWORK"


class SettingsInvalid(Exception):
    """A variable is unknown or wrong; the message says which and what is wanted."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a process is told from outside.

    ``profile``: ``dev`` makes its own secrets and an admin known to everybody, and so listens
    on loopback only; ``production`` wants secrets to be there; ``test`` also runs on a database
    that may lose commits.
    """

    profile: Profile = "production"
    database_url: str | None = None
    nats_url: str | None = None
    nats_replicas: Literal[1, 3, 5] = 1
    """On how many nodes of a cluster each stream is kept."""
    public_nats_url: str | None = None
    """What agents are told to connect to; without it, ``nats_url`` less its credentials."""
    data_dir: str = DEFAULT_DATA_DIR
    secrets_dir: str | None = None
    """Where the keys lie; without it, ``secrets`` in the data directory."""
    notary_dir: str | None = None
    """Where the notary keeps what it signed last; without it, beside its key."""
    artifacts_url: str | None = None
    """Where tasks' files are kept: a directory's ``file://`` URL or a bucket's ``s3://``;
    without it, ``artifacts`` in the data directory."""
    checkpoints_url: str | None = None
    """Where each minute's newest signed checkpoint of the log is left as a file: a directory's
    ``file://`` URL or a bucket's ``s3://``, best one that the platform cannot change."""
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8000
    """0 takes a free port."""
    trusted_proxies: str | None = None
    """Addresses and networks, with commas, of the proxies in front of ``serve``. What they say
    in ``X-Forwarded-For`` is believed, from the right up to the first address that is none of
    theirs: that is the client. Anybody else's header is not read. Name no network that clients
    are in."""
    fetch_networks: str | None = None
    """Private networks, with commas, that a task's URL may name; their agents need the same by
    ``--allow-network``. Without it, what ``OWL_AGENT_ALLOW_NETWORK`` says to an agent here."""
    password_min_length: Annotated[int, Meta(ge=1, le=128)] | None = None
    """Without it, 6 in ``dev`` and ``test`` as the published contract says, else 8."""
    registrations_per_address: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """How many accounts one address may open in an hour; without it, 20, and 1,000 in ``dev``
    and ``test``."""
    registrations_in_all: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    """How many accounts all addresses together may open in an hour."""
    database_pool_max: Annotated[int, Meta(ge=1, le=200)] = 10
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "json", "text"] = "auto"
    system_log_level: Literal["DEBUG", "INFO", "WARNING"] = "INFO"
    """From which level on lines are kept for ``GET /logs/system``; warnings always are."""

    @property
    def secrets_path(self) -> Path:
        """The directory of the keys."""
        return Path(self.secrets_dir or Path(self.data_dir) / "secrets")

    @property
    def notary_path(self) -> Path:
        """The directory of what the notary signed last."""
        return Path(self.notary_dir or self.secrets_path)

    @property
    def shortest_password(self) -> int:
        """How many characters a new password needs."""
        return self.password_min_length or (8 if self.profile == "production" else 6)

    @property
    def registrations_of_one(self) -> int:
        """How many accounts one address may open in an hour."""
        return self.registrations_per_address or (20 if self.profile == "production" else 1_000)

    @property
    def proxies(self) -> tuple[str, ...]:
        """Each address or network of a trusted proxy."""
        return _listed(self.trusted_proxies)

    @property
    def networks_to_fetch_from(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Each private network that a task's URL may name."""
        return tuple(map(ip_network, _listed(self.fetch_networks)))

    @property
    def artifacts(self) -> str:
        """The URL of the artifact store."""
        if self.artifacts_url:
            return self.artifacts_url
        return (Path(self.data_dir).resolve() / "artifacts").as_uri()

    @property
    def requires_durability(self) -> bool:
        """Whether a database that may lose commits is refused."""
        return self.profile != "test"


def load(environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """The settings of this process; ``overrides`` that are not ``None`` win.

    Raises:
        SettingsInvalid: a variable is unknown or has a wrong value.
    """
    variables = os.environ if environment is None else environment
    check_names(variables)
    given: dict[str, Any] = {
        name[len(_PREFIX) :].lower(): value
        for name, value in variables.items()
        if name.startswith(_PREFIX) and not name.startswith(tuple(_OTHERS)) and value
    }
    given.update({name: value for name, value in overrides.items() if value is not None})
    said_by = {name: _PREFIX + name.upper() for name in _NETWORKS}
    if "fetch_networks" not in given and (theirs := variables.get(_AGENTS_NETWORKS)):
        given["fetch_networks"] = ",".join(theirs.split())
        said_by["fetch_networks"] = _AGENTS_NETWORKS
    try:
        settings = msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        # the message of msgspec, with variables' names for its paths
        raise SettingsInvalid(str(error).replace("`$.", f"`{_PREFIX}")) from error
    for name in _NETWORKS:
        try:
            for network in _listed(getattr(settings, name)):
                ip_network(network)
        except ValueError as error:
            raise SettingsInvalid(f"{said_by[name]}: {error}") from error
    if settings.profile == "dev" and not is_loopback(settings.host):
        raise SettingsInvalid(
            f"OWL_PROFILE=dev has an admin with a known password, so it must not listen on"
            f" {settings.host}: use 127.0.0.1, or OWL_PROFILE=production and `owl admin create`"
        )
    return settings


def check_names(variables: Mapping[str, str] | None = None) -> None:
    """Refuse a variable that would be overlooked: one that nobody here knows by that name.

    Raises:
        SettingsInvalid: it begins like ours, and is none of ours.
    """
    known = CLIENT_VARIABLES | {_PREFIX + name.upper() for name in Settings.__struct_fields__}
    others = tuple(_OTHERS - {_CLIENT})
    for name, value in (os.environ if variables is None else variables).items():
        if value and name.startswith(_PREFIX) and not name.startswith(others):
            if name in known:
                continue
            meant = "".join(f": {like}?" for like in get_close_matches(name, known, n=1))
            raise SettingsInvalid(
                f"unknown setting {name}{meant or '; unset it'}. The settings are"
                f" {', '.join(sorted(known))}"
            )


def environment_for_agent(token: str | None) -> dict[str, str]:
    """What an agent that we start sees: none of the platform's settings, and its token.

    A token on the command line could be read by everybody on the machine.
    """
    theirs = tuple(name for name in _OTHERS if name.endswith("_"))
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_PREFIX) or name.startswith(theirs)
    }
    return environment if token is None else {**environment, "OWL_AGENT_TOKEN": token}


def _listed(text: str | None) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can reach ``host``."""
    return host in {"localhost", "::1"} or host.startswith("127.")
