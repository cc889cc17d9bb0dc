"""`angarium trigger`: sends examples of the catalogue as messages, one or in sequence."""

from __future__ import annotations

import time
from difflib import get_close_matches
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from angarium import json_text
from angarium.cli.error import note
from angarium.cli.message import post
from angarium.cli.remote import Remote, calling
from angarium.client.angarium import message_body
from angarium.client.error import ClientError, Refused

MOST_NAMES: Final = 1000


@calling()
def trigger(
    server: Remote,
    types: Annotated[list[str] | None, typer.Argument(help="Event types, sent in order.")] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a field of the examples: status=filled, order.id=1; repeatable."),
    ] = None,
    sequence: Annotated[
        Path | None,
        typer.Option(
            help='A file of lines {"type": …, "data": …, "after": seconds}; default data: the example.'
        ),
    ] = None,
    gap: Annotated[
        float, typer.Option(min=0, max=3600, help="Seconds between the messages of a sequence.")
    ] = 0.0,
) -> None:
    """Send examples from the catalogue, to test a receiver.

    $ angarium trigger order.accepted order.filled --gap 2 --set id=ord_1
    $ angarium trigger --sequence life-of-an-order.jsonl
    """
    steps = [
        *((name, None, gap if place else 0.0) for place, name in enumerate(types or [])),
        *_read(sequence),
    ]
    if not steps:
        raise typer.BadParameter("name an event type, or a file with --sequence")
    changes = [_change(one) for one in change or []]
    for event_type, data, after in steps:
        payload = _example(server, event_type) if data is None else data
        for path, value in changes:
            _put(payload, path, value)
        time.sleep(after)
        try:
            body = message_body(event_type, json_text.write(payload).encode())
        except ValueError as error:
            raise typer.BadParameter(f"{event_type}: the payload is not a JSON object: {error}") from error
        post(server, body, f"  {event_type}")


def _read(file: Path | None) -> list[tuple[str, Any, float]]:
    if file is None:
        return []
    try:
        lines = [json_text.read(line) for line in file.read_text().splitlines() if line.strip()]
        return [(str(one["type"]), one.get("data"), float(one.get("after", 0))) for one in lines]
    except OSError as error:
        raise typer.BadParameter(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise typer.BadParameter(
            f'{file}: each line is {{"type": …, "data": …, "after": …}} ({error})'
        ) from error


def _example(server: Remote, event_type: str) -> Any:
    """The example of the newest schema in the catalogue; an empty object if there is none.

    Servers accept types that are not in the catalogue. An unknown type is only refused if the catalogue has
    others, because it is then probably mistyped.
    """
    try:
        found = server.call("GET", "/event-type/{}", event_type)
    except Refused as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        names = [one["name"] for one in server.each("/event-type", limit=MOST_NAMES)]
        if names:
            near = get_close_matches(event_type, names, 1)
            hint = f"Did you mean {near[0]}?" if near else f"Known types: {', '.join(names[:10])}"
            raise ClientError(f"The catalogue has no event type {event_type}. {hint}") from error
        note(f"angarium: the catalogue is empty; sending {event_type} with an empty object (see --set)")
        return {}
    schemas = found.get("schemas") or {}
    for version in sorted(schemas, key=lambda text: (len(text), text), reverse=True):
        schema = schemas[version]
        examples = schema.get("examples") if isinstance(schema, dict) else None
        if isinstance(examples, list) and examples:
            return examples[0]
        if isinstance(schema, dict) and "example" in schema:
            return schema["example"]
    note(f"angarium: the catalogue has no example of {event_type}; sending an empty object")
    return {}


def _change(text: str) -> tuple[list[str], Any]:
    """Parses `a.b=1` into path and value; the value is JSON, or a string if it is not valid JSON."""
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise typer.BadParameter(f"write --set name=value, not {text!r}")
    try:
        return path.split("."), json_text.read(value)
    except ValueError:
        return path.split("."), value


def _put(payload: Any, path: list[str], value: Any) -> None:
    for name in path[:-1]:
        if not isinstance(payload, dict):
            raise typer.BadParameter(f"--set {'.'.join(path)}: not a field of an object")
        payload = payload.setdefault(name, {})
    if not isinstance(payload, dict):
        raise typer.BadParameter(f"--set {'.'.join(path)}: not a field of an object")
    payload[path[-1]] = value
