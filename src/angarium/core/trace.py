"""Reads and writes the trace context of HTTP headers, and defines how the parts of Angarium report spans.

The format is that of W3C Trace Context (https://www.w3.org/TR/trace-context/): version, trace id, span id of
the caller, and flags. A malformed header counts as none, as the specification demands.

The parts get a `Tracer`. It decides whether a request is sampled before anything is made for it. A span that
is not sampled is None everywhere, so it costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Final

import msgspec

HEADER: Final = "traceparent"
_NAME: Final = HEADER.encode()
_SAMPLED: Final = 1
_FORM: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_INVALID: Final = b"ff"  # a version that is not allowed
_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)


class SpanKind(IntEnum):
    """What a span is, as OpenTelemetry names it."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4


class RemoteSpan(msgspec.Struct, frozen=True, gc=False):
    """The span of a caller, and whether it is sampled."""

    trace_id: bytes
    span_id: bytes
    sampled: bool


class OpenSpan(msgspec.Struct, frozen=True, gc=False):
    """A sampled span that has begun. `begun`: epoch nanoseconds. `remote`: its parent is the caller's."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    begun: int
    remote: bool = False

    @property
    def context(self) -> bytes:
        """Trace id and span id, as they are stored with a message: 24 bytes."""
        return self.trace_id + self.span_id

    @property
    def traceparent(self) -> str:
        """The header that passes it on."""
        return f"00-{self.trace_id.hex()}-{self.span_id.hex()}-01"


class Tracer:
    """Traces nothing. telemetry/otlp/tracer.py traces."""

    on: bool = False
    passes: bool = False  # whether receivers get the context of an attempt

    def request(self, headers: Iterable[tuple[bytes, bytes]]) -> OpenSpan | None:
        """A request arrived. `headers`: their names in lower case."""
        return None

    def child(self, parent: OpenSpan) -> OpenSpan | None:
        """A part of the work of `parent` begins."""
        return None

    def root(self) -> OpenSpan | None:
        """Work begins that is a trace of its own, for a sampled message."""
        return None

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
        """A span ended. `links`: the stored contexts of other spans. `error`: a code, if it failed."""


NO_TRACER: Final = Tracer()


def caller_of(headers: Iterable[tuple[bytes, bytes]]) -> RemoteSpan | None:
    """The caller's span. None if there is no valid one, or more than one header."""
    found = [value for name, value in headers if name == _NAME]
    return read(found[0]) if len(found) == 1 else None


def read(value: bytes) -> RemoteSpan | None:
    """The span in the value of a `traceparent` header; None if it is not valid. Only the fields of version 00
    are read of later versions."""
    form = _FORM.fullmatch(value.strip(b" \t"))
    if form is None:
        return None
    version, trace, span, flags, more = form.groups()
    if version == _INVALID or (version == b"00" and more is not None):
        return None
    trace_id, span_id = bytes.fromhex(trace.decode()), bytes.fromhex(span.decode())
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return RemoteSpan(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))
