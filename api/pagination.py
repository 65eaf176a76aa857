"""Pages as the contract prints them: items, total, page, page_size, total_pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Generic, TypeAlias, TypeVar

from litestar.params import QueryParameter
from msgspec import Struct

from projections.page import Page as Found

R = TypeVar("R")
T = TypeVar("T")

PageNumber: TypeAlias = Annotated[
    int, QueryParameter(ge=1, le=10_000, description="The page, from 1. 页码")
]
PageSize: TypeAlias = Annotated[
    int, QueryParameter(ge=1, le=100, description="Items on a page, 1 to 100. 每页数量")
]
LogPageSize: TypeAlias = Annotated[
    int, QueryParameter(ge=1, le=200, description="Lines on a page, 1 to 200. 每页数量")
]


class Page(Struct, Generic[T], kw_only=True):
    """One page; past the end ``items`` is empty."""

    items: list[T]
    total: int
    page: int
    page_size: int
    total_pages: int


def page_of(found: Found[R], shape: Callable[[R], T]) -> Page[T]:
    """A query's page in the contract's shape, each row made by ``shape``."""
    return Page(
        items=[shape(row) for row in found.items],
        total=found.total,
        page=found.page,
        page_size=found.page_size,
        total_pages=-(-found.total // found.page_size),
    )
