"""What every command that calls a server shares: which server, whose application, how it speaks.

The server is named by ANGARIUM_URL and ANGARIUM_TOKEN, or by options. Exit codes: 0 done, 1 refused or
failed, 2 called in a wrong way, 3 the server does not answer.
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
    str | None, typer.Option(envvar="ANGARIUM_URL", help="The server, https://…", show_default=False)
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="ANGARIUM_TOKEN", help="A token of the organization or of one application.", show_default=False
    ),
]
App = Annotated[
    str | None,
    typer.Option(
        "--app", envvar="ANGARIUM_APP", help="Id or uid of the application; the only one when not given."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]


class Remote:
    """A server and an application of it."""

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
        """The application: the one named, the token's own, or the organization's only one."""
        if self._app is None:
            self._app = _subject(self._token) or self._only()
        return self._app

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """An operation below the application."""
        return self.client.call(method, self.path(path), body, query=query)

    def raw(self, method: str, path: str, body: Any = None, **query: Any) -> str:
        """The answer of an operation below the application as JSON text, for one that holds a payload."""
        return self.client.raw(method, self.path(path), body, query=query).decode()

    def accept(self, body: bytes) -> str:
        """Send a message; gives the answer as JSON text."""
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
                'there is no application yet; make one: POST /api/v1/app {"name": "First"}'
            )
        raise typer.BadParameter("there are several applications; name one with --app or ANGARIUM_APP")


def show(value: Any, as_json: bool, text: str) -> None:
    """Say it to a program or to a human."""
    print(json.dumps(value, ensure_ascii=False) if as_json else text, flush=True)


def show_raw(raw: str, as_json: bool, text: str) -> None:
    """The same for JSON text, every number of which stays as it is."""
    print(json_text.compact(raw) if as_json else text, flush=True)


def note(text: str) -> None:
    """Something for the human beside the output."""
    print(text, file=sys.stderr, flush=True)


def fail(error: ClientError) -> NoReturn:
    """End with the code that fits."""
    note(f"angarium: {error}")
    sys.exit(UNREACHABLE if isinstance(error, Unreachable) else FAILED)


def time_ago(text: str) -> str:
    """A time for the API from `2h`, `7d`, or a time with a zone."""
    try:
        return moment(text).isoformat()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def default_name() -> str:
    """A name for this machine and user that a listener may have."""
    name = f"{os.environ.get('USER') or 'user'}-{os.uname().nodename if hasattr(os, 'uname') else 'host'}"
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in name)[:64]


def _subject(token: str) -> str | None:
    """The application that a token is for. Not verified: the server does that."""
    try:
        packed = token.split(".")[1]
        subject = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))).get("sub")
    except (IndexError, ValueError, AttributeError):
        return None
    return subject if isinstance(subject, str) and subject.startswith("app_") else None
