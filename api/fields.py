"""The fields that several requests share, each with its limits, unit and description."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta

from api.messages import Fault
from api.names import blank_fault, is_invisible, is_reserved, mixes_scripts, username_fault
from api.validation import MULTILINE, Check, checked, written_as
from domain.money import FEN_PER_YUAN, Fen
from domain.public_addresses import Network
from domain.source_url import LABEL_MAX, flaw_of

PASSWORD_MAX: Final = 128
URL_SCHEMES: Final = frozenset({"https", "http", "file"})
EMAIL_FAULT: Final = Fault("format")
_NO_MAIL = re.compile(r"[\s\"(),:;<>\[\]\\]")
_YUAN_DIGITS: Final = 7
"""Before the point, in the contract's form; more where the largest amount has more."""
YEARS: Final = range(2000, 2101)
"""Of every time and day that is asked for: another one is a slip of the finger."""
_CENTS: Final = -2


def email_fault(text: str) -> Fault | None:
    """What speaks against an address whose outline is right: what would deceive a reader of it.

    Quoted local parts and address literals are not taken (RFC 5321 allows both).
    """
    local, _, host = text.rpartition("@")
    labels = host.split(".")
    sound = (
        not _NO_MAIL.search(text)
        and not any(map(is_invisible, text))
        and ".." not in f".{local}."
        and all(_is_label(label) for label in labels)
        and not any(map(mixes_scripts, [local, *labels]))
    )
    return None if sound else EMAIL_FAULT


def _is_label(text: str) -> bool:
    """Whether a domain may have such a part, ASCII or not."""
    return (
        len(text) <= LABEL_MAX
        and all(map(str.isalnum, text.replace("-", "0")))
        and (not text.startswith("-") and not text.endswith("-"))
    )


def _new_username_fault(text: str) -> Fault | None:
    return username_fault(text) or (Fault("reserved") if is_reserved(text) else None)


def _year(at: datetime) -> Fault | None:
    return None if at.year in YEARS else Fault("year")


def yuan_between(least: str, most: str) -> Check:
    """Accepts digits with at most two decimals, without sign, between both amounts.

    A number in exponent form is none of these: 1e2 is refused, 100 and 100.0 are not.
    """
    fault = Fault("amount", {"least": least, "most": most})
    low, high = Decimal(least), Decimal(most)

    def check(amount: Decimal) -> Fault | None:
        sign, _, exponent = amount.as_tuple()
        if sign or not isinstance(exponent, int) or not _CENTS <= exponent <= 0:
            return fault
        return None if low <= amount <= high else fault

    return check


def yuan_text(least: str, most: str) -> Meta:
    """Takes an amount as text in the contract's form only.

    ``Decimal`` alone would take ``"1_000"``, ``" 5"``, ``"+5"``, ``"1e3"`` and every script's
    digits.
    """
    form = re.compile(rf"[0-9]{{1,{_digits(Decimal(most))}}}(\.[0-9]{{1,2}})?")
    return written_as(form, Fault("amount", {"least": least, "most": most}))


def money_schema(least: float, most: float) -> dict[str, Any]:
    """How a reader of the schema is told what ``yuan_between`` accepts."""
    return {
        "minimum": least,
        "maximum": most,
        "pattern": rf"^\d{{1,{_digits(most)}}}(\.\d{{1,2}})?$",
    }


def _digits(most: float | Decimal) -> int:
    return max(_YUAN_DIGITS, len(str(int(most))))


def fen_of(amount: Decimal) -> Fen:
    """Yuan as fen; the amount was checked to have at most two decimals."""
    return int(amount * FEN_PER_YUAN)


def as_utc(at: datetime) -> datetime:
    """An aware time; one without a zone is UTC, as in the contract's dates."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def source_url_fault(url: str, networks: Sequence[Network]) -> Fault | None:
    """What speaks against fetching a task's URL; it is never fetched, nor its name resolved."""
    flaw = flaw_of(url, schemes=URL_SCHEMES, allowed=networks)
    return None if flaw is None else Fault(f"url_{flaw}")


Email: TypeAlias = Annotated[
    str,
    Meta(
        max_length=254,
        pattern=r"^[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+$(?!\n)",
        description="邮箱，不可重复，不区分大小写。"
        "E-mail address; unique without regard to case or Unicode form.",
        examples=["user@example.com"],
    ),
    checked(email_fault),
]
Username: TypeAlias = Annotated[
    str,
    Meta(
        max_length=50,
        description="用户名，3 到 50 个字母、数字、`_`、`.`、`-`，不可重复。"
        "3 to 50 letters, digits, `_`, `.` and `-`; unique without regard to case.",
        examples=["newuser"],
    ),
    checked(username_fault),
]
Password: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=PASSWORD_MAX,
        description="密码，6 到 128 个字符，运营者可要求更长。"
        "At least 6 characters (the operator may ask for more), at most 128.",
        examples=["password123"],
    ),
]
NewUsername: TypeAlias = Annotated[
    str,
    Meta(
        max_length=50,
        description="用户名，3 到 50 个字母、数字、`_`、`.`、`-`，不可重复，不可用职务名。"
        "3 to 50 letters, digits, `_`, `.` and `-`; unique without regard to case;"
        " no name of an office, like `admin`.",
        examples=["newuser"],
    ),
    checked(_new_username_fault),
]
FullName: TypeAlias = Annotated[
    str,
    Meta(max_length=100, description="姓名。How the person is called.", examples=["新用户"]),
    checked(blank_fault),
]
Description: TypeAlias = Annotated[
    str,
    Meta(max_length=2_000, description="描述，保留换行。Free text; line breaks are kept."),
    MULTILINE,
    checked(blank_fault),
]
Amount: TypeAlias = Annotated[
    Decimal,
    Meta(
        description="金额，单位元，0.01 到 100,000.00，至多两位小数。"
        "Yuan, 0.01 to 100,000.00, at most two decimals; a number or a string.",
        examples=[100.0],
        extra_json_schema=money_schema(0.01, 100_000),
    ),
    checked(yuan_between("0.01", "100000.00")),
    yuan_text("0.01", "100000.00"),
]
Instant: TypeAlias = Annotated[
    datetime,
    Meta(
        description="时间，RFC 3339，无时区即 UTC。RFC 3339; without a zone it is UTC.",
        examples=["2024-12-31T23:59:59Z"],
    ),
    checked(_year),
]
