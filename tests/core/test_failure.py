"""Kinds of failures: each has a title and a next step, unknown codes those of a fault of ours."""

from __future__ import annotations

import pytest

from angarium.core.failure import KINDS, Side, kind_of

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
        ("http_600", "Status 600", "Answer with a standard HTTP status"),
        ("http_0", "Status 0", "Answer with a standard HTTP status"),
        # what is no code of ours
        ("internal", OURS, "No action needed"),
        ("", OURS, "No action needed"),
        ("404", OURS, "No action needed"),
        ("http_", OURS, "No action needed"),
        ("http_abc", OURS, "No action needed"),
        ("http_-404", OURS, "No action needed"),
        ("http_\u0664", OURS, "No action needed"),
        ("http_1000", OURS, "No action needed"),
        ("http_" + "9" * 5000, OURS, "No action needed"),
        ("http_http_404", OURS, "No action needed"),
    ],
)
def test_every_code_has_a_title_and_a_step(code: str, title: str, step: str) -> None:
    assert kind_of(code).title == title
    assert kind_of(code).advice.startswith(step)


def test_the_status_of_a_receiver_is_never_our_fault() -> None:
    assert {kind_of(f"http_{status}").side for status in range(400, 1000)} == {Side.RECEIVER}


@pytest.mark.parametrize(
    "code", ["connect_refused", "timeout", "reset", "tls", "tls_untrusted", "dns", "redirect"]
)
def test_what_the_receiver_did_is_never_taken_for_a_fault_of_ours(code: str) -> None:
    assert KINDS[code].becomes is None
    assert not KINDS[code].ours


def test_what_may_be_ours_becomes_a_kind_of_ours() -> None:
    ambiguous = [kind for kind in KINDS.values() if kind.becomes is not None]
    assert {kind.side for kind in ambiguous} == {Side.NETWORK}
    assert all(kind.burst >= 1 and KINDS[kind.becomes or ""].ours for kind in ambiguous)
