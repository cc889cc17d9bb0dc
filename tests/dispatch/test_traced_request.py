"""The trace context of a request to a receiver."""

from __future__ import annotations

import pytest

from angarium.core.trace import OpenSpan
from angarium.dispatch.request_builder import with_trace
from angarium.dispatch.transport.sender import OutgoingRequest

SPAN = OpenSpan(b"\x01" * 16, b"\x02" * 8, None, 0)


def test_it_is_added_after_all_other_headers() -> None:
    request = OutgoingRequest("https://x.example/", [("webhook-id", "msg_1")], b"{}", 1.0)
    found = with_trace(request, SPAN)
    assert found.headers == [("webhook-id", "msg_1"), ("traceparent", f"00-{'01' * 16}-{'02' * 8}-01")]
    assert (found.url, found.body, found.timeout) == (request.url, request.body, request.timeout)


@pytest.mark.parametrize("name", ["traceparent", "TraceParent"])
def test_a_header_of_the_endpoint_with_that_name_stays(name: str) -> None:
    request = OutgoingRequest("https://x.example/", [(name, "own")], b"{}", 1.0)
    assert with_trace(request, SPAN) is request
