"""What people and things may be called: something to see, in one script, and nobody's office.

Sources: Unicode Technical Standard 39 (confusables, mixed scripts), RFC 2142 (office names).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from api.messages import Fault
from domain.accounts.claim import normalised

_USERNAME = re.compile(r"[\w.-]{3,50}")
_LOOKING_ALIKE: Final = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"})
"""Scripts whose letters pass for one another's: a name has letters of one of them at most."""
_EMPTY: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols by category that show nothing."""
_SHOWN: Final = frozenset("LNPS")
_LATIN_FOR: Final = str.maketrans(
    "авеікмнорстухѕјһӏԁԛԝοανιıɑɡ0", "abeikmhopctyxsjhldqwoaviiago"
)
"""What a letter, or a zero, is taken for at a glance."""
RESERVED: Final = frozenset(
    (
        *("admin", "administrator", "root", "system", "superadmin", "superuser", "auditor"),
        *("owl", "owlfactory", "operator", "moderator", "official", "staff", "support"),
        *("security", "abuse", "postmaster", "webmaster", "hostmaster", "noreply", "help"),
        *("anonymous", "everyone", "nobody", "all", "null", "none", "undefined", "api"),
        *("管理员", "超级管理员", "系统管理员", "系统", "审计员", "客服", "官方", "猫头鹰工厂"),
    )
)
"""Usernames that would pass for the platform's own voice; only an operator gives them out."""


def username_form(text: str) -> str:
    """A username as it is kept: compatibility characters composed (NFKC)."""
    return unicodedata.normalize("NFKC", text)


def username_fault(text: str) -> Fault | None:
    """What speaks against a username, whoever wants it."""
    name = username_form(text)
    if not _USERNAME.fullmatch(name) or not shows(name.strip("._-")) or _EMPTY & set(name):
        return Fault("username")
    return Fault("mixed_scripts") if mixes_scripts(name) else None


def is_reserved(username: str) -> bool:
    """Whether it looks like an office's name, case, dots and lookalike letters aside."""
    name = re.sub(r"[._-]", "", normalised(username).translate(_LATIN_FOR))
    seen = re.compile(re.escape(name).replace("1", "[il]"))  # a one is taken for either letter
    return any(seen.fullmatch(office) for office in RESERVED)


def mixes_scripts(text: str) -> bool:
    """Whether letters of several scripts that look alike stand in one text."""
    scripts = {
        unicodedata.name(letter, "").partition(" ")[0] for letter in text if letter.isalpha()
    }
    return len(scripts & _LOOKING_ALIKE) > 1


def shows(text: str) -> bool:
    """Whether there is anything to see in it: not only spaces and characters of no width."""
    return any(
        unicodedata.category(character)[0] in _SHOWN and character not in _EMPTY
        for character in text
    )


def blank_fault(text: str) -> Fault | None:
    """What speaks against a text that was given and shows nothing."""
    return None if not text or shows(text) else Fault("blank")


def is_invisible(character: str) -> bool:
    """Whether it steers or hides what stands beside it (Unicode's category Cf)."""
    return unicodedata.category(character) == "Cf"
