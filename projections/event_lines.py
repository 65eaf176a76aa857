r"""What an event says in a line of a log, read from the event log when somebody asks.

A read model then keeps where the line is and nothing that the log has already. ``data`` is
what the fact says, with the defaults that its text leaves out: as the fact would be written if
it left out none. PostgreSQL keeps no NUL in a text (``\u0000``): it is shown as U+FFFD, and
only where it is one and not a backslash before ``u0000``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import fields

from domain.facts import Fact, tag_of


def kinds(left_out: Mapping[type[Fact], Collection[str]]) -> str:
    """The parameter ``kinds`` of a statement with ``TOLD``: of each kind what is not shown."""
    told = {
        tag_of(kind): {"defaults": _defaults(kind), "left_out": [*sorted(names), "type"]}
        for kind, names in left_out.items()
    }
    return msgspec.json.encode(told).decode()


def _defaults(kind: type[Fact]) -> dict[str, Any]:
    return {
        field.name: field.default if field.default is not NODEFAULT else field.default_factory()
        for field in fields(kind)
        if not field.required
    }


TOLD: Final = "told AS MATERIALIZED (SELECT %(kinds)s::jsonb AS kinds)"
"""Read once a statement, for what follows."""
FACT: Final = r"""
    (SELECT kinds FROM told) -> topic -> 'defaults' || regexp_replace(
        convert_from(state, 'UTF8'), '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g'
    )::jsonb
"""
"""Of a row of ``owl_log.events``."""
SAID: Final = """
    originator_id || '/' || originator_version AS event_id, actor, topic AS tag,
    fact - ARRAY(
        SELECT jsonb_array_elements_text((SELECT kinds FROM told) -> topic -> 'left_out')
    ) AS data
"""
"""Of a row of ``owl_log.events`` with its ``fact``."""
