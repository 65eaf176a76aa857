"""The pages under ``/docs``: Swagger UI from this folder, so that they work without a network.

``VENDOR.toml`` says where the files come from that are not ours; a test compares their digests.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

PAGE: Final = "index.html"
MEDIA_TYPES: Final = {
    "favicon-32x32.png": "image/png",
    "start.js": "text/javascript",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
"""What is served beside the page; nothing else in this folder is."""
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none';"
    " form-action 'none'"
)
"""Swagger UI sets styles on elements and draws its icons from data: addresses."""
_FOLDER: Final = Path(__file__).parent


@lru_cache(maxsize=8)
def content_of(name: str) -> bytes:
    """The page, or a file that it needs."""
    assert name == PAGE or name in MEDIA_TYPES, "only what is listed is served"
    return (_FOLDER / name).read_bytes()
