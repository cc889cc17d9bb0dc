"""Calls a server: the options that name it, its API, and how answers are printed.

A command that calls a server is decorated with `calling`. What it prints with `--json` is the API's own JSON:
for a list, each object on a line of its own.
"""

from __future__ import annotations

import base64
import inspect
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from angarium import json_text
from angarium.cli.option import Json, content, moment
from angarium.client.angarium import Angarium
from angarium.client.error import ClientError, Refused, Unreachable

PAGE: Final = 100
POLL: Final = 0.5  # seconds between requests for a background task
_SERVER: Final = {  # parameter -> variable, help
    "server_url": ("ANGARIUM_URL", "URL of the server, https://…"),
    "server_token": ("ANGARIUM_TOKEN", "Token of the organization or of an application."),
    "server_app": ("ANGARIUM_APP", "Application, by ID or UID; optional if there is only one."),
}
Given = dict[str, Any]  # fields of the API


@dataclass(frozen=True, slots=True)
class ApiField:
    """A field of the API that commands have an option for, or an argument.

    `kind`: a type, or a function that reads the option's text. `sample`: for examples in help.
    """

    name: str  # in the API, such as eventTypes
    help: str
    kind: Any = str
    option: str = ""
    sample: str = ""
    required: bool = False
    argument: bool = False

    @property
    def flag(self) -> str:
        return self.option or "--" + snake(self.name).replace("_", "-")

    def parameter(self) -> inspect.Parameter:
        """The parameter of a command, as Typer reads it."""
        kind = self.kind if self._is_type else str
        flags = f"{self.flag}/--no-{self.flag[2:]}" if kind is bool else self.flag
        option = typer.Argument(help=self.help) if self.argument else typer.Option(flags, help=self.help)
        if self.required or self.argument:
            return _parameter(self.name, Annotated[kind, option], inspect.Parameter.empty)
        return _parameter(self.name, Annotated[kind | None, option], None)

    def read(self, value: Any) -> Any:
        """The value for the API. Raises BadParameter."""
        return value if self._is_type else self.kind(value)

    @property
    def _is_type(self) -> bool:
        return isinstance(self.kind, type) or self.kind == list[str]


def time_ago(text: str) -> str:
    """A time for the API, of a duration ago or a time with a zone."""
    return moment(text).isoformat()


def json_object(text: str) -> Any:
    """A JSON object, from text, `@file` or `-`."""
    try:
        value = json_text.read(content(text).decode())
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise typer.BadParameter("must be a JSON object")
    return value


def calling(*fields: ApiField, app: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds the options that name a server, and `--json`; the function gets them as a Remote.

    `fields` also become options; the function gets those that are given as one dictionary of the API's names.
    `app`: whether it calls operations of one application.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())
        own = [_parameter(one.name, one.annotation, one.default) for one in own[2 if fields else 1 :]]

        def command(**given: Any) -> None:
            place = {name.removeprefix("server_"): given.pop(name, None) for name in _SERVER}
            server = Remote(**place, as_json=given.pop("as_json"))
            said = {one.name: given.pop(one.name) for one in fields}
            values = {
                one.name: one.read(said[one.name]) for one in fields if said[one.name] not in (None, [], ())
            }
            function(server, *([values] if fields else []), **given)

        command.__name__, command.__doc__ = function.__name__, function.__doc__
        place = [_server(name) for name in _SERVER if app or name != "server_app"]
        command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                *(one.parameter() for one in fields if one.argument),
                *own,
                *(one.parameter() for one in fields if not one.argument),
                *place,
                _parameter("as_json", Json, False),
            ]
        )
        command.__annotations__ = {}
        return command

    return decorate


class Remote:
    """A server, one of its applications, and how to print what it answers."""

    def __init__(self, url: str | None, token: str | None, app: str | None, as_json: bool) -> None:
        self._url, self._token, self.named_app = url, token, app
        self.as_json = as_json

    @property
    def url(self) -> str:
        return self._url or ""

    @cached_property
    def client(self) -> Angarium:
        if not self._url or not self._token:
            missing = "ANGARIUM_TOKEN (or --token)" if self._url else "ANGARIUM_URL (or --url)"
            raise typer.BadParameter(f"{missing} is not set; `angarium dev` prints both when it starts")
        try:
            return Angarium(self._url, self._token)
        except ClientError as error:
            raise typer.BadParameter(str(error)) from error

    @cached_property
    def app(self) -> str:
        """The application: the named one, the token's, or the organization's only one."""
        client = self.client  # what is missing is said first
        if self.named_app is not None:
            return self.named_app
        if (subject := _subject(self._token or "")) is not None:
            return subject
        found = _data(client.call("GET", "/app", query={"limit": 2}), client)
        if len(found) == 1:
            return str(found[0]["id"])
        raise typer.BadParameter(
            "there are several applications; name one with --app or ANGARIUM_APP"
            if found
            else "there are no applications; create one: angarium application create --name First"
        )

    def raw(
        self, method: str, path: str, *refs: str, body: Any = None, timeout: Any = None, **query: Any
    ) -> str:
        """The JSON text of an answer. `path` may have `{app}`, and `{}` for each of `refs`."""
        app = self.app if "{app}" in path else ""
        place = path.format(*(quote(one, safe="") for one in refs), app=quote(app, safe=""))
        data = json_text.write(body).encode() if isinstance(body, dict) else body
        asked = {snake(name): value for name, value in query.items()}
        try:
            return self.client.raw(method, place, data, query=asked, timeout=timeout).decode(
                "utf-8", "replace"
            )
        except Refused as error:
            if error.status == 404 and app and not self._has(app):
                words = f"The server has no application {app}. Name one with --app or ANGARIUM_APP."
                raise ClientError(words) from error
            raise

    def call(self, method: str, path: str, *refs: str, **more: Any) -> Any:
        """The value of an answer, with numbers as they were written; None for an empty answer."""
        raw = self.raw(method, path, *refs, **more)
        try:
            return json_text.read(raw) if raw else None
        except ValueError as error:
            raise Unreachable(f"{self._url} does not respond as an Angarium server: {error}") from error

    def each(self, path: str, *refs: str, limit: int | None = None, **query: Any) -> Iterator[Any]:
        """The items of a list, page after page, at most `limit`."""
        return islice(self._pages(path, refs, min(limit or PAGE, PAGE), query), limit)

    def until_ended(self, path: str, task: Given) -> Iterator[Given]:
        """The states of a background task, asked for every half second, until it has ended."""
        yield task
        while task["status"] == "running":
            time.sleep(POLL)
            task = self.call("GET", path, task["id"])
            yield task

    def _pages(self, path: str, refs: tuple[str, ...], size: int, query: Given) -> Iterator[Any]:
        asked = {"limit": size, **query, "iterator": None}
        while True:
            page = self.call("GET", path, *refs, **asked)
            yield from _data(page, self.client)
            asked["iterator"] = page.get("iterator")
            if page.get("done", True) or asked["iterator"] is None:
                return

    def show(self, value: Any, text: str | None = None) -> None:
        """Prints an object of the API: as JSON, or as `text`, or its fields line by line."""
        print(json_text.write(value) if self.as_json else text or details(value), flush=True)

    def done(self, text: str) -> None:
        """Prints what was done by an operation without an answer."""
        if not self.as_json:
            print(text, flush=True)

    def table(self, items: Iterable[Mapping[str, Any]], columns: Iterable[str], nothing: str) -> None:
        """Prints a list: each item as JSON, or a table of some of its fields."""
        if self.as_json:
            for item in items:
                print(json_text.write(item), flush=True)
        else:
            print(table([{name: cell(item.get(name)) for name in columns} for item in items]) or nothing)

    def _has(self, app: str) -> bool:
        try:
            self.client.raw("GET", f"/app/{quote(app, safe='')}")
        except Refused as error:
            return error.status != 404 or not error.from_server
        return True


def table(rows: list[dict[str, str]]) -> str:
    """Rows in columns, with the names of the fields above."""
    if not rows:
        return ""
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    lines = [{name: name for name in widths}, *rows]
    return "\n".join(
        "  ".join(row[name].ljust(width) for name, width in widths.items()).rstrip() for row in lines
    )


def details(value: Mapping[str, Any]) -> str:
    """The fields of an object, one on each line."""
    width = max(map(len, value), default=0)
    return "\n".join(f"{name:<{width}}  {cell(one)}".rstrip() for name, one in value.items())


def cell(value: Any) -> str:
    """A value as people read it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list() if all(isinstance(one, str) for one in value):
            return ",".join(value)
        case dict() | list():
            return json_text.write(value)
    return str(value)


def snake(name: str) -> str:
    """`eventTypes` as queries and options have it: `event_types`."""
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name)


def _server(name: str) -> inspect.Parameter:
    variable, words = _SERVER[name]
    flag = "--" + name.removeprefix("server_")
    option = typer.Option(flag, envvar=variable, help=words, show_default=False, rich_help_panel="Server")
    return _parameter(name, Annotated[str | None, option], None)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _data(page: Any, client: Angarium) -> list[Any]:
    """The items of a page. Raises Unreachable if something else answered."""
    data = page.get("data") if isinstance(page, dict) else None
    if not isinstance(data, list):
        raise Unreachable("the server does not respond as an Angarium server")
    return data


def _subject(token: str) -> str | None:
    """The application of a token. Not verified; the server verifies it."""
    try:
        packed = token.split(".")[1]
        subject = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))).get("sub")
    except (IndexError, ValueError, AttributeError):
        return None
    return subject if isinstance(subject, str) and subject.startswith("app_") else None
