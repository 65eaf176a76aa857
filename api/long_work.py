"""What a server and the child process that looks through the whole log for it tell each other.

A line of JSON each: the order goes in, and what was asked to be signed comes back signed; how
far it is, what is to be signed, and the end come out. The keys stay in the server.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from projections.not_possible import Why as WhyNot


class Export(Struct, frozen=True, kw_only=True, tag="export"):
    """Write a bundle into the file that was handed over as the descriptor ``output``."""

    first: int
    last: int
    withhold: tuple[str, ...]
    form: Literal["jsonl", "parquet"]
    output: int


class Reconcile(Struct, frozen=True, kw_only=True, tag="reconcile"):
    """Add everything up, as of a position or of now."""

    at: int | None


class Verify(Struct, frozen=True, kw_only=True, tag="verify"):
    """Hash and fold the log again, or only hash what came after the first ``since`` events."""

    since: int | None


class Compare(Struct, frozen=True, kw_only=True, tag="compare"):
    """Compare two generations of a read model; the keys are for what it has to fold first."""

    read_model: str
    limit: int
    pepper: bytes
    sealing_key: bytes


Work: TypeAlias = Export | Reconcile | Verify | Compare


class Order(Struct, frozen=True, kw_only=True):
    """What is to be done, where, and which key the server trusts."""

    conninfo: str
    public_key: bytes
    work: Work


class Told(Struct, frozen=True, tag="told"):
    """How far it is."""

    reached: int
    last: int


class ToSign(Struct, frozen=True, tag="to_sign"):
    """Sign this for the log's key of this name; the answer is a line in base64."""

    key: str
    message: bytes


class Done(Struct, frozen=True, tag="done"):
    """The end; ``certificate`` is the result as a note signed with the log's key."""

    result: msgspec.Raw
    certificate: str | None = None


Why: TypeAlias = Literal["not_signed", "differs", "out_of_reach"]


class NotDone(Struct, frozen=True, tag="not_done"):
    """The end: there is nothing to compare, or not now; as ``NotPossible``."""

    read_model: str
    why: WhyNot
    about: dict[str, int]


class Failed(Struct, frozen=True, tag="failed"):
    """The end, without a result."""

    why: Why
    message: str


Word: TypeAlias = Told | ToSign | Done | Failed | NotDone
