"""A tracer that keeps the spans that ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from angarium.core.trace import OpenSpan, SpanKind, Tracer


@dataclass(frozen=True)
class Ended:
    """One span."""

    name: str
    span: OpenSpan
    links: Sequence[bytes]
    attributes: Mapping[str, str | int]
    error: str | None


class Traced(Tracer):
    """Traces what is asked to be."""

    on = True

    def __init__(self) -> None:
        self.ends: list[Ended] = []
        self._made = 0

    def child(self, parent: OpenSpan) -> OpenSpan:
        self._made += 1
        return OpenSpan(parent.trace_id, self._made.to_bytes(8), parent.span_id, 0)

    def root(self) -> OpenSpan:
        self._made += 1
        return OpenSpan(self._made.to_bytes(16), b"r" * 8, None, 0)

    def ended(
        self,
        span: OpenSpan,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, str | int],
        *,
        links: Sequence[bytes] = (),
        error: str | None = None,
    ) -> None:
        self.ends.append(Ended(name, span, links, attributes, error))

    def named(self, name: str) -> list[Ended]:
        return [one for one in self.ends if one.name == name]

    def links(self, name: str) -> list[Sequence[bytes]]:
        return [one.links for one in self.named(name)]


class Untouched(Tracer):
    """Tracing that is off: no part may ask it for anything. `asked`: what was, if the error is caught."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def _refuse(self, what: str) -> NoReturn:
        self.asked.append(what)
        raise AssertionError(what)

    def request(self, headers: object) -> OpenSpan | None:
        self._refuse("the span of a request")

    def child(self, parent: OpenSpan) -> OpenSpan | None:
        self._refuse("a part of a span")

    def root(self) -> OpenSpan | None:
        self._refuse("a span")

    def ended(self, *values: object, **more: object) -> None:
        self._refuse("the end of a span")
