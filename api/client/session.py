"""Who is signed in where: the tokens of ``owl``, in one file that only its owner reads.

A token belongs to the address that gave it and is never sent to another one. A profile is a
file of its own, so that one person can be signed in as several.
"""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

SESSION_FILE: Final = "session.json"
PROFILE: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,31}", re.ASCII)
"""What a profile may be called: it is a part of a file's name."""
_PRIVATE: Final = 0o600
_PRIVATE_DIRECTORY: Final = 0o700


class Session(Struct, frozen=True, kw_only=True):
    """One login. A token is good until ``expires_at``; the API gives no other way than anew."""

    token: str
    expires_at: datetime
    email: str
    role: str
    is_void: bool = False
    """The API has said that it takes the token no longer."""

    def is_good(self, now: datetime) -> bool:
        """Whether the token is worth sending."""
        return not self.is_void and self.expires_at > now

    @classmethod
    def of(cls, answer: dict[str, Any], *, now: datetime) -> Session:
        """The session that an answer to a login opens."""
        return cls(
            token=answer["access_token"],
            expires_at=now + timedelta(seconds=answer["expires_in"]),
            email=answer["user"]["email"],
            role=answer["user"]["role"],
        )


class Sessions(Struct, frozen=True, kw_only=True):
    """Sessions by the API's address; ``current`` is the last one signed in to."""

    current: str | None = None
    by_url: dict[str, Session] = {}

    def opened(self, api_url: str, session: Session) -> Sessions:
        """With a new login, which is the current one now."""
        return Sessions(current=api_url, by_url={**self.by_url, api_url: session})

    def voided(self, api_url: str, token: str) -> Sessions:
        """With the login of this token at ``api_url``, if it is still there, known as void."""
        session = self.by_url.get(api_url)
        if session is None or session.token != token:
            return self
        return replace(self, by_url={**self.by_url, api_url: replace(session, is_void=True)})

    def closed(self, api_url: str) -> Sessions:
        """Without the login at ``api_url``."""
        rest = {url: session for url, session in self.by_url.items() if url != api_url}
        return replace(self, by_url=rest)


def profiles_in(directory: Path) -> list[str | None]:
    """The profiles that are kept below ``directory``, the one without a name first."""
    unnamed: list[str | None] = [None] if (directory / SESSION_FILE).exists() else []
    named = (path.stem.removeprefix("session-") for path in directory.glob("session-*.json"))
    return unnamed + sorted(name for name in named if PROFILE.fullmatch(name))


class SessionFile:
    """The file below ``directory``; an unreadable one is as good as none."""

    def __init__(self, directory: Path, profile: str | None = None) -> None:
        self.profile = profile
        self.path = directory / (f"session-{profile}.json" if profile else SESSION_FILE)

    def load(self) -> Sessions:
        """What is kept."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Sessions)
        except (FileNotFoundError, msgspec.DecodeError):
            return Sessions()

    def save(self, sessions: Sessions) -> None:
        """Keep it, readable by its owner alone from the first byte on."""
        self.path.parent.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        draft = self.path.with_suffix(f".{os.getpid()}")
        draft.unlink(missing_ok=True)  # one left by a crash might have another mode
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(sessions))
        draft.replace(self.path)
