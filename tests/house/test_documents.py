"""What the documents point at is there."""

import re
from pathlib import Path

import pytest

from tests.house.tree import ROOT, files, shown

LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
TOPS = "domain|commands|projections|api|gpu_agent|tests|docs|benchmarks|deploy|requirements"
NAMED_FILE = re.compile(rf"`((?:{TOPS})/[\w./-]+\.(?:py|sql|md|toml|txt|json|conf|html|mp4))`")
# a name in capitals stands for any: `projections/NAME.sql`
PLACEHOLDER = re.compile(r"(?:^|/)[A-Z_]+\.")
# the published contract is kept as it was published, its links included
DOCUMENTS = [path for path in files(ending=".md") if path.parent != ROOT / "docs/contract"]


def anchors(document: Path) -> set[str]:
    """The names that a heading can be linked by, as code forges make them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_every_link_to_a_file_of_ours_resolves(document: Path) -> None:
    broken = []
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        place, _, anchor = target.partition("#")
        path = (document.parent / place).resolve() if place else document
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    named = NAMED_FILE.findall(document.read_text(encoding="utf-8"))
    gone = [name for name in named if not PLACEHOLDER.search(name)]
    assert [name for name in gone if not (ROOT / name).exists()] == []
