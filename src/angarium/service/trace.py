"""Carries the span of the current request from the edge to the acceptance of its messages."""

from __future__ import annotations

from contextvars import ContextVar

from angarium.core.trace import OpenSpan

_span: ContextVar[OpenSpan | None] = ContextVar("span", default=None)


def current() -> OpenSpan | None:
    """The span of this request, if it is sampled."""
    return _span.get()


def began(span: OpenSpan | None) -> None:
    """A request began. None: it is not sampled."""
    _span.set(span)
