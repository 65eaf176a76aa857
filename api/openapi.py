"""The OpenAPI document, made once, when it is first asked for.

Litestar's own pages for it answer unknown addresses in HTML, outside the envelope; so the
document is drawn from a twin of the application that is never served.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import msgspec
from litestar import Litestar
from litestar.openapi import OpenAPIConfig

TITLE = "猫头鹰工厂 Owl Factory"
VERSION = "0.10.0"


class Document:
    """The document of the application that ``build`` makes."""

    def __init__(self, build: Callable[[OpenAPIConfig], Litestar]) -> None:
        self._build = build

    @cached_property
    def _json(self) -> bytes:
        app = self._build(OpenAPIConfig(title=TITLE, version=VERSION))
        return msgspec.json.encode(app.openapi_schema.to_schema())

    def json(self) -> bytes:
        """The document's text."""
        return self._json
