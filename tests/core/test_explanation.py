"""Kinds of failures: each has a title and a next step, unknown codes those of a fault of ours."""

from __future__ import annotations

import pytest

from angarium.core.explanation import step_of, title_of

OURS = "Fault on our side"


@pytest.mark.parametrize(
    ("code", "title", "step"),
    [
        ("tls_expired", "Certificate expired", "Renew the certificate"),
        ("http_404", "404 Not Found", "Check the path in the URL"),
        ("http_504", "504 Gateway Timeout", "Answer with 200 first"),
        # a status without a step of its own has that of its class
        ("http_100", "100 Continue", "Answer with 200."),
        ("http_402", "402 Payment Required", "Check the URL and the code behind it."),
        ("http_499", "Status 499", "Check the URL and the code behind it."),
        ("http_505", "505 HTTP Version Not Supported", "Your server's own log"),
        ("http_599", "Status 599", "Your server's own log"),
        ("http_600", "Status 600", "Answer with a status that HTTP knows"),
        ("http_0", "Status 0", "Answer with a status that HTTP knows"),
        # what is no code of ours
        ("internal", OURS, "You need do nothing"),
        ("", OURS, "You need do nothing"),
        ("404", OURS, "You need do nothing"),
        ("http_", OURS, "You need do nothing"),
        ("http_abc", OURS, "You need do nothing"),
        ("http_-404", OURS, "You need do nothing"),
        ("http_\u0664", OURS, "You need do nothing"),
        ("http_http_404", OURS, "You need do nothing"),
    ],
)
def test_every_code_has_a_title_and_a_step(code: str, title: str, step: str) -> None:
    assert title_of(code) == title
    assert step_of(code).startswith(step)
