"""Add the golden lines of new facts and new fields; keep the old ones."""

from tests.domain.golden import FILE, lines_of, recorded, rendered, samples


def grown(old: list[bytes], new: list[bytes]) -> list[bytes]:
    """The lines of a tag after fields were added to it."""
    if old[0] == new[0]:
        return old
    if old[1] != new[1]:
        message = f"a required field was added, removed or changed: take a new tag\n{old[1]!r}"
        raise SystemExit(message)
    return [*new, *old[3:], old[0]]


if __name__ == "__main__":
    before = recorded() if FILE.exists() else {}
    lines = {tag: lines_of(fact) for tag, fact in samples().items()}
    after = {tag: grown(before.get(tag, new), new) for tag, new in lines.items()}
    FILE.write_bytes(rendered(before | after))
