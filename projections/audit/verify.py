"""``owl audit verify``: the stored bytes hashed again, the tree grown again, the log refolded.

Nothing that is stored is believed but the signatures: an event, its stored hash and a
checkpoint are compared with one another, and the first difference is named by its position.
What an administrator of the database could rewrite together (events, hashes and, with the
notary's key, checkpoints) still contradicts a checkpoint that somebody else holds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from operator import ne
from typing import Final, NamedTuple, TypeAlias

from msgspec import Struct

from domain.audit.checkpoint import Checkpoint, NoteInvalid, VerifierKey
from domain.audit.merkle import HASH_BYTES, Frontier, Hash, full_root, full_subtrees
from domain.audit.refold import Finding, Refold
from domain.audit.rotation import ChainBroken, KeyChain
from domain.audit.tiles import HEIGHT, WIDTH, TilesMissing
from projections.audit.hashed import Hashed, hashed
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog

UNSIGNED: Final = (
    "no checkpoint covers any event: none was signed yet (`owl work` signs within a second), or"
    " they were deleted; a checkpoint kept outside decides it: --checkpoint FILE"
)
Progress: TypeAlias = Callable[[int, int], None]
"""Told the position that is reached, and the last one."""


class Verified(Struct, frozen=True, kw_only=True):
    """What was found. ``signed`` is how many events the newest checkpoint covers.

    ``covered`` is how many that or one held outside does: of what came after, only whether the
    rules hold can be told. Of the telemetry, which goes after some days, there is no tree:
    nothing is said about it.
    """

    origin: str
    head: int
    since: int
    signed: int
    covered: int
    root: str
    findings: tuple[Finding, ...]
    logs_covered: tuple[str, ...] = ("business",)
    logs_not_covered: tuple[str, ...] = ("telemetry",)

    @property
    def is_right(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


class Due(NamedTuple):
    """A root that the tree must have over its first ``size`` events."""

    size: int
    root: Hash
    is_held: bool = False

    @property
    def whose(self) -> str:
        """Who says so."""
        return "the checkpoint held outside" if self.is_held else "the stored checkpoint"


class Altered(Exception):
    """The first difference between what is stored and signed: nothing after it counts."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position


class Verification:
    """One run over the log."""

    def __init__(
        self,
        log: StoredLog,
        *,
        key: VerifierKey,
        held: Sequence[Checkpoint] = (),
        since: int = 0,
        refold: Refold | None = None,
        beside: str | None = None,
    ) -> None:
        """Take the log; ``beside`` names its database to a second process that hashes."""
        self._log = log
        self._key = key
        self._held = held
        self._since = since
        self._refold = refold
        self._beside = beside
        self._findings: list[Finding] = []
        self._frontier = Frontier()
        self._roots: deque[Due] = deque()
        self._signed = 0
        self._met, self._met_held = since, 0
        self._suspect: int | None = None

    def run(self, progress: Progress | None = None) -> Verified:
        """Verify; with ``since``, only what came after that many events, without the refold."""
        log, head = self._log, self._log.head()
        self._read_checkpoints(log.origin())
        self._look_before_the_first()
        try:
            self._start(head)
            with hashed(log, self._since, head, beside=self._beside) as stretches:
                for stretch in stretches:
                    self._take(stretch)
                    if progress is not None:
                        progress(self._frontier.size, head)
            self._end(head)
        except Altered as altered:
            self._note_altered(altered)
        covered = max([self._since, self._signed, *(held.size for held in self._held)])
        if head and not covered:
            self._note(1, "CHECKPOINT", UNSIGNED)
        if self._refold is not None:
            self._refold.end_of_command()
            self._findings += self._refold.findings
        return Verified(
            origin=self._key.name,
            head=head,
            since=self._since,
            signed=self._signed,
            covered=covered,
            root=self._frontier.root.hex(),
            findings=tuple(sorted(self._findings, key=lambda finding: finding.position)),
        )

    def _look_before_the_first(self) -> None:
        """Who reads by position would not meet it; a command that reads its stream does."""
        first = self._log.first()
        if first is not None and first < 1:
            said = "the event was inserted: it stands before the first position"
            self._note(first, "TREE", said)

    def _note(self, position: int, check: str, message: str) -> None:
        self._findings.append(Finding(position, check, message))

    def _note_altered(self, altered: Altered) -> None:
        if self._suspect is not None and self._suspect < altered.position:
            self._note(self._suspect, "TREE", "the event, or its stored hash, was changed")
        self._note(altered.position, "TREE", str(altered))

    def _read_checkpoints(self, origin: str) -> None:
        """The roots to be met, in order; a checkpoint that is not by the key is a finding."""
        if origin != self._key.name:
            said = f"the log calls itself {origin}, the key is of {self._key.name}"
            self._note(0, "CHECKPOINT", said)
        chain, due = self._chain(), []
        for stored in self._log.checkpoints(self._since):
            try:
                checkpoint = chain.checkpoint_in(stored.note, is_signed)
                if checkpoint.size != stored.size:
                    raise NoteInvalid(f"it says {checkpoint.size}")  # noqa: TRY301
            except NoteInvalid as error:
                self._note(
                    stored.size, "CHECKPOINT", f"the checkpoint of {stored.size}: {error}"
                )
                continue
            self._signed = checkpoint.size
            due.append(Due(checkpoint.size, checkpoint.root))
        due += [
            Due(held.size, held.root, is_held=True)
            for held in self._held
            if held.size >= self._since
        ]
        self._roots.extend(sorted(due))

    def _chain(self) -> KeyChain:
        """The keys as the log says that they followed one another, as far as they agree."""
        links = self._log.links()
        while True:
            try:
                return KeyChain.of(self._key, links, is_signed)
            except ChainBroken as broken:
                self._note(broken.position, "CHECKPOINT", str(broken))
                links = [link for link in links if link.position < broken.position]

    def _start(self, head: int) -> None:
        """The tree up to ``since``, as the stored hashes tell it."""
        if self._since > head:
            raise Altered(head + 1, f"the event is missing: the log ends before {self._since}")
        node = self._log.node()
        try:
            for level, index in full_subtrees(0, self._since):
                self._frontier = self._frontier.with_subtree(level, node(level, index))
        except TilesMissing as error:
            raise Altered(self._since, str(error)) from error
        self._meet_roots()

    def _take(self, stretch: Hashed) -> None:
        begin, rows = self._frontier.size, stretch.rows
        for position, row in enumerate(rows, begin + 1):
            if row[0] != position:
                self._absorb(stretch, position - begin - 1)
                raise Altered(position, f"the event is missing: {row[0]} follows")
        if not rows:
            raise Altered(begin + 1, "the event is missing, and those after it")
        self._absorb(stretch, len(rows))

    def _absorb(self, stretch: Hashed, count: int) -> None:
        """Grow the tree over the first events, block by block as the tiles are cut."""
        begin, leaves = self._frontier.size, stretch.leaves[:count]
        if self._refold is not None:
            take = self._refold.take_part
            for row in stretch.rows[:count]:
                take(row)
        at = 0
        while at < len(leaves):
            size = begin + at
            block = leaves[at : at + WIDTH - size % WIDTH]
            self._compare_hashes(size, block, stretch.stored)
            self._grow(size, block, stretch)
            at += len(block)

    def _compare_hashes(
        self, size: int, block: Sequence[Hash], stored: dict[int, bytes]
    ) -> None:
        hashes = stored.get(size >> HEIGHT, b"")[size % WIDTH * HASH_BYTES :]
        grown = b"".join(block)
        lacking = min(len(grown), (self._signed - size) * HASH_BYTES) - len(hashes)
        if lacking > 0:
            position = size + len(hashes) // HASH_BYTES + 1
            self._note(position, "HASHES", "the stored hash of the event is missing")
        hashes = hashes[: len(grown)]
        if self._suspect is None and not grown.startswith(hashes):
            same = next(
                n for n, pair in enumerate(zip(grown, hashes, strict=False)) if ne(*pair)
            )
            self._suspect = size + same // HASH_BYTES + 1

    def _grow(self, size: int, block: Sequence[Hash], stretch: Hashed) -> None:
        end = size + len(block)
        if len(block) == WIDTH and not (self._roots and self._roots[0].size < end):
            root = stretch.roots.get(size >> HEIGHT) or full_root(block)
            self._compare_above(size >> HEIGHT, root, stretch.above)
            self._frontier = self._frontier.with_subtree(HEIGHT, root)
            self._meet_roots()
            return
        at = 0
        while self._roots and self._roots[0].size <= end:
            upto = self._roots[0].size - size
            self._frontier = self._frontier.with_leaves(block[at:upto])
            at = upto
            self._meet_roots()
        self._frontier = self._frontier.with_leaves(block[at:])

    def _compare_above(self, number: int, root: Hash, above: dict[int, bytes]) -> None:
        at = number % WIDTH * HASH_BYTES
        stored = above.get(number >> HEIGHT, b"")[at : at + HASH_BYTES]
        if stored not in {b"", root} and self._suspect is None:
            self._suspect = (number << HEIGHT) + 1

    def _meet_roots(self) -> None:
        """Compare with every root over as many events as the tree has now."""
        size = self._frontier.size
        while self._roots and self._roots[0].size == size:
            due = self._roots.popleft()
            if due.root != self._frontier.root:
                raise self._difference(due)
            if self._suspect is not None and self._suspect <= size:
                # the events give what was signed, so it is the stored hash that was changed
                self._note(self._suspect, "HASHES", "the stored hash is not that of the event")
                self._suspect = None
            self._met = size
            self._met_held = size if due.is_held else self._met_held

    def _difference(self, due: Due) -> Altered:
        size, whose = due.size, due.whose
        if self._suspect is not None and self._suspect <= size:
            suspect, self._suspect = self._suspect, None
            return Altered(suspect, f"the event is not what was hashed and signed by {whose}")
        # a notary who has signed a fork has signed its checkpoints on the way to it as well
        first = (self._met_held if due.is_held else self._met) + 1
        where = f"one of the events {first} to {size}" if first < size else "the event"
        return Altered(first, f"{where} is not what was signed: {whose} of {size} differs")

    def _end(self, head: int) -> None:
        if self._roots:
            due = self._roots[0]
            raise Altered(
                head + 1, f"the event is missing: {due.whose} covers {due.size} events"
            )
        if self._suspect is not None:
            self._note(self._suspect, "TREE", "the event, or its stored hash, was changed")
