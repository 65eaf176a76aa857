"""The documents that are published beside the contract, made of the routes themselves.

``python -m tests.api.published`` writes them anew after a change of the API.
"""

import json
from pathlib import Path

from api.app import bare_application
from api.openapi import described
from api.postman import collection_of
from tests.house.tree import ROOT

FOLDER = ROOT / "docs" / "contract"


def published() -> dict[Path, str]:
    """Each file and what it has to hold."""
    document = described(bare_application())
    return {
        FOLDER / "openapi.json": text_of(document),
        FOLDER / "owl-factory.postman_collection.json": text_of(collection_of(document)),
    }


def text_of(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    for path, text in published().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))  # noqa: T201 - a program of the command line
