"""What can go wrong between the client and the server."""

from __future__ import annotations

from typing import Any


class ClientError(Exception):
    """Something went wrong."""


class Unreachable(ClientError):
    """No server answered, also after several tries."""


class Refused(ClientError):
    """The server answered with an error: `status` of HTTP, and its own `code` and `detail` in words.

    `from_server`: whether the answer has the form of Angarium's errors. Without it something else answered,
    such as a proxy, or another service at a wrong URL.
    """

    def __init__(self, status: int, body: Any) -> None:
        said = body if isinstance(body, dict) else {}
        self.status = status
        self.from_server = "detail" in said
        self.code = str(said.get("code", "")) or f"http_{status}"
        self.detail = _words(said.get("detail")) or f"The server answered {status}."
        super().__init__(f"{self.detail} (HTTP {status})")


def _words(detail: Any) -> str:
    """One sentence, or for a body that is not valid each field with its fault."""
    if isinstance(detail, list):
        faults = [fault for fault in detail if isinstance(fault, dict)]
        return "; ".join(
            f"{'.'.join(map(str, fault.get('loc', [])))}: {fault.get('msg')}" for fault in faults
        )
    return detail if isinstance(detail, str) else ""
