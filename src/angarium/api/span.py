"""Reports the span of a request that was answered."""

from __future__ import annotations

from angarium.core.trace import OpenSpan, SpanKind, Tracer


def answered(tracer: Tracer, span: OpenSpan, route: str, method: str, status: int) -> None:
    """`route`: the template of its path, never the path, which may hold a token. `status` 0: the client went
    away before the response."""
    attributes: dict[str, str | int] = {"http.request.method": method, "http.route": route}
    if status:
        attributes["http.response.status_code"] = status
    error = str(status) if status >= 500 else None
    tracer.ended(span, f"{method} {route}", SpanKind.SERVER, attributes, error=error)
