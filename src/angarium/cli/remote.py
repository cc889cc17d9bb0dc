"""Options, API client and output of commands that call a server.

ANGARIUM_URL and ANGARIUM_TOKEN, or options, name the server. Exit codes: 0 success, 1 refused or failed,
2 usage error, 3 server unreachable.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from http import HTTPStatus
from typing import Annotated, Any, NoReturn
from urllib.parse import quote

import typer

from angarium import json_text
from angarium.cli.moment import moment
from angarium.client import Angarium, ClientError, Refused, Unreachable

FAILED = 1
UNREACHABLE = 3

Url = Annotated[
    str | None, typer.Option(envvar="ANGARIUM_URL", help="URL of the server, https://…", show_default=False)
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="ANGARIUM_TOKEN", help="Token of the organization or of an application.", show_default=False
    ),
]
App = Annotated[
    str | None,
    typer.Option(
        "--app", envvar="ANGARIUM_APP", help="Application, by ID or UID; optional if there is only one."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line, for programs.")]


class Remote:
    """A server and one of its applications."""

    def __init__(self, url: str | None, token: str | None, app: str | None) -> None:
        if not url or not token:
            missing = "ANGARIUM_URL (or --url)" if not url else "ANGARIUM_TOKEN (or --token)"
            raise typer.BadParameter(f"{missing} is not set; `angarium dev` prints both when it starts")
        try:
            self.client = Angarium(url, token)
        except ClientError as error:
            raise typer.BadParameter(str(error)) from error
        self.url = url.rstrip("/")
        self._token = token
        self._app = app

    @property
    def app(self) -> str:
        """The application: the named one, the token's, or the organization's only one."""
        if self._app is None:
            self._app = _subject(self._token) or self._only()
        return self._app

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Calls an operation below the application."""
        return self.client.call(method, self.path(path), body, query=query)

    def raw(self, method: str, path: str, body: Any = None, **query: Any) -> str:
        """Calls an operation below the application; returns JSON text, which keeps payloads exact."""
        return self.client.raw(method, self.path(path), body, query=query).decode()

    def accept(self, body: bytes) -> str:
        """Sends a message; returns the response as JSON text."""
        try:
            return self.raw("POST", "/msg", body)
        except Refused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            words = f"The server has no application {self.app}. Name one with --app or ANGARIUM_APP."
            raise ClientError(words) from error

    def path(self, path: str) -> str:
        return f"/app/{quote(self.app, safe='')}{path}"

    def _only(self) -> str:
        found = self.client.call("GET", "/app", query={"limit": 2})["data"]
        if len(found) == 1:
            return str(found[0]["id"])
        if not found:
            raise typer.BadParameter(
                'there are no applications; create one: POST /api/v1/app {"name": "First"}'
            )
        raise typer.BadParameter("there are several applications; name one with --app or ANGARIUM_APP")


def show(value: Any, as_json: bool, text: str) -> None:
    """Prints a value as JSON, or its text."""
    print(json.dumps(value, ensure_ascii=False) if as_json else text, flush=True)


def show_raw(raw: str, as_json: bool, text: str) -> None:
    """Prints JSON text unchanged, or its text."""
    print(json_text.compact(raw) if as_json else text, flush=True)


def note(text: str) -> None:
    """Prints a note to standard error."""
    print(text, file=sys.stderr, flush=True)


def fail(error: ClientError) -> NoReturn:
    """Prints an error and exits with its code."""
    note(f"angarium: {error}")
    sys.exit(UNREACHABLE if isinstance(error, Unreachable) else FAILED)


def time_ago(text: str) -> str:
    """A time for the API from `2h`, `7d`, or a time with a zone."""
    try:
        return moment(text).isoformat()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def default_name() -> str:
    """The default name of a listener, from user and machine."""
    name = f"{os.environ.get('USER') or 'user'}-{os.uname().nodename if hasattr(os, 'uname') else 'host'}"
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in name)[:64]


def _subject(token: str) -> str | None:
    """The application of a token. Not verified; the server verifies it."""
    try:
        packed = token.split(".")[1]
        subject = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))).get("sub")
    except (IndexError, ValueError, AttributeError):
        return None
    return subject if isinstance(subject, str) and subject.startswith("app_") else None
