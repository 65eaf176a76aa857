"""A tar file in one canonical form: no byte of it is free, so no byte can be changed unseen."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from io import SEEK_END
from typing import IO, Final

from msgspec import Struct

from domain.audit.bundle import BundleInvalid, FileDigest

BLOCK: Final = 512
END: Final = bytes(2 * BLOCK)
COPY_BYTES: Final = 1 << 20
NAME_BYTES: Final = 100
MODE: Final = 0o444


class Member(Struct, frozen=True):
    """Where a file stands in the container."""

    offset: int
    size: int
    is_moved: bool = False
    """It is longer or shorter than its head says: damaged, whatever its bytes are."""


class ContainerWriter:
    """Appends files one after another; the output must be seekable."""

    def __init__(self, output: IO[bytes]) -> None:
        self._output = output
        self.digests: dict[str, FileDigest] = {}

    def add(self, name: str, content: bytes) -> None:
        """A file that is at hand."""
        with self.writing(name) as file:
            file.write(content)

    @contextmanager
    def writing(self, name: str) -> Iterator[MemberWriter]:
        """A file that is being made: its header is written when its size is known."""
        start = self._output.tell()
        self._output.write(bytes(BLOCK))
        member = MemberWriter(self._output)
        yield member
        self._output.write(bytes(-member.size % BLOCK))
        end = self._output.tell()
        self._output.seek(start)
        self._output.write(header(name, member.size))
        self._output.seek(end)
        self.digests[name] = FileDigest(member.sha256, member.size)

    def close(self) -> None:
        """End the container."""
        self._output.write(END)


class MemberWriter:
    """Writes one file, and knows its size and digest."""

    def __init__(self, output: IO[bytes]) -> None:
        self._output = output
        self._digest = sha256()
        self.size = 0
        self.closed = False

    def close(self) -> None:
        """Whoever wrote has ended; the container goes on."""
        self.closed = True

    def flush(self) -> None:
        """The container is flushed as a whole."""

    @property
    def sha256(self) -> str:
        """The digest so far."""
        return self._digest.hexdigest()

    def write(self, content: bytes) -> int:
        """Append."""
        self._output.write(content)
        self._digest.update(content)
        self.size += len(content)
        return len(content)


def header(name: str, size: int) -> bytes:
    """The one header that a file of this name and size may have."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, MODE
    return info.tobuf(tarfile.GNU_FORMAT)


def members(
    file: IO[bytes], names: Sequence[Sequence[str]], *, moving: str
) -> dict[str, Member]:
    """Where each file is, which may have one of its names; in this order, and nothing else.

    The file ``moving`` may have grown or shrunk, so that whoever reads it can tell where.

    Raises:
        BundleInvalid: it is no such container, to the byte.
    """
    found, length = {}, file.seek(0, SEEK_END)
    file.seek(0)
    for allowed, following in zip(names, [*names[1:], ()], strict=True):
        block = file.read(BLOCK)
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            message = f"the bundle is cut off or damaged before {allowed[0]}"
            raise BundleInvalid(message) from error
        name, size = info.name, info.size
        if name not in allowed or not 0 <= size <= length or block != header(name, size):
            raise BundleInvalid(f"the bundle is damaged at the head of {allowed[0]}")
        found[name] = Member(file.tell(), size)
        if name == moving and (moved := _moved_by(file, found[name], following[0])):
            found[name] = Member(found[name].offset, size + moved, is_moved=True)
            continue
        file.seek(found[name].offset + size)
        if file.read(-size % BLOCK) != bytes(-size % BLOCK):
            raise BundleInvalid(f"the bundle is cut off or damaged behind {name}")
    if file.read(len(END) + 1) != END:
        raise BundleInvalid("the bundle is cut off or damaged at its end")
    return found


def _moved_by(file: IO[bytes], member: Member, following: str) -> int:
    """How far from its place the next file's head is; the file is left there. 0: unknown."""
    expected = member.offset + member.size + -member.size % BLOCK
    begin = max(member.offset, expected - COPY_BYTES)
    file.seek(begin)
    at = file.read(2 * COPY_BYTES).find(following.encode().ljust(NAME_BYTES, b"\0"))
    file.seek(begin + max(at, 0))
    return begin + at - expected if at >= 0 else 0


def content(file: IO[bytes], member: Member, size_max: int) -> bytes:
    """A small file whole.

    Raises:
        BundleInvalid: it is larger than such a file ever is.
    """
    if member.size > size_max:
        raise BundleInvalid("a file of the bundle is larger than it can be")
    file.seek(member.offset)
    return file.read(member.size)


def digest_of(file: IO[bytes], member: Member) -> FileDigest:
    """The digest of a file of any size."""
    file.seek(member.offset)
    digest, left = sha256(), member.size
    while left:
        part = file.read(min(left, COPY_BYTES))
        if not part:
            break
        digest.update(part)
        left -= len(part)
    return FileDigest(digest.hexdigest(), member.size - left)


def lines(file: IO[bytes], member: Member, line_max: int) -> Iterator[bytes]:
    """The lines of a file with their ends, which one that is too long or cut off has not."""
    file.seek(member.offset)
    left = member.size
    while left and (line := file.readline(min(left, line_max))):
        left -= len(line)
        yield line
