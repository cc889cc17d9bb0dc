"""Errors of the client."""

from __future__ import annotations

from typing import Any


class ClientError(Exception):
    """Base class of the client's errors."""


class Unreachable(ClientError):
    """The server did not respond in any attempt, or the response is not that of an Angarium server."""


class Refused(ClientError):
    """The response is an error: the HTTP `status`, and the server's `code` and `detail`.

    `from_server` is whether the response has the form of Angarium's errors. If not, something else responded,
    such as a proxy, or another service at a wrong URL.
    """

    def __init__(self, status: int, body: Any) -> None:
        said = body if isinstance(body, dict) else {}
        self.status = status
        self.from_server = "detail" in said
        self.code = str(said.get("code", "")) or f"http_{status}"
        self.detail = _words(said.get("detail")) or f"The server responded with {status}."
        super().__init__(f"{self.detail} (HTTP {status})")


def _words(detail: Any) -> str:
    """A sentence; for an invalid body, each invalid field with its error."""
    if isinstance(detail, list):
        faults = [fault for fault in detail if isinstance(fault, dict)]
        return "; ".join(
            f"{'.'.join(map(str, fault.get('loc', [])))}: {fault.get('msg')}" for fault in faults
        )
    return detail if isinstance(detail, str) else ""
