"""`angarium event-type`: manages event types, and reads and writes them as OpenAPI or AsyncAPI documents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from angarium.cli import resource
from angarium.cli.apply import Delete, PreparedPlan, content, name_of
from angarium.cli.error import note
from angarium.cli.option import Yes
from angarium.cli.remote import Remote, calling

if TYPE_CHECKING:
    from angarium.cli.catalogue.event import Event
    from angarium.cli.configuration.fault import Faults
    from angarium.cli.configuration.state import ConfigState

FORMATS: Final = ("openapi", "asyncapi")
app = resource.event_type


@app.command("import")
@calling(app=False)
def import_(
    server: Remote,
    file: Annotated[str, typer.Argument(help="OpenAPI 3.1 or AsyncAPI 3 document, or - for standard input.")],
    delete: Delete = False,
    yes: Yes = False,
) -> None:
    """Create and change event types as a document describes them. Prints the plan, and asks.

    $ angarium event-type import openapi.yaml
    $ angarium event-type import asyncapi.json --delete --yes
    """
    from angarium.cli.configuration.text import read

    text = read(content(file), name_of(file))
    wanted, faults = read_state(text.value, text.places)
    PreparedPlan.on(server, wanted, faults, delete=delete).ask(yes)


@app.command()
@calling(app=False)
def export(
    server: Remote,
    form: Annotated[str, typer.Option("--format", help=f"{' or '.join(FORMATS)}.")] = "openapi",
    title: Annotated[str, typer.Option(help="Title of the document.")] = "Webhooks",
    archived: Annotated[bool, typer.Option("--archived", help="Also archived ones.")] = False,
) -> None:
    """Print the event types as a document, in YAML, or in JSON with --json.

    $ angarium event-type export --format openapi
    $ angarium event-type export --format asyncapi --title "Events of the shop"
    """
    from angarium.cli.catalogue import asyncapi, openapi
    from angarium.cli.configuration import current
    from angarium.cli.configuration.text import written

    if form not in FORMATS:
        raise typer.BadParameter(f"--format must be {' or '.join(FORMATS)}, not {form!r}")
    found = current.event_types(server.client)
    types = {
        item.key: dict(item.fields)
        for item in sorted(found.items.values(), key=lambda one: one.path)
        if archived or not item.fields["archived"]
    }
    value = (openapi if form == "openapi" else asyncapi).written(types, title)
    print(json.dumps(value, ensure_ascii=False) + "\n" if server.as_json else written(value), end="")


def read_state(value: Any, places: Any) -> tuple[ConfigState, Faults]:
    """The event types of a document as a state, without any other section."""
    from angarium.cli.catalogue import asyncapi, openapi
    from angarium.cli.catalogue.reference import SourceDocument
    from angarium.cli.configuration.fault import Faults
    from angarium.cli.configuration.noun import EVENT_TYPE

    faults = Faults(places)
    document = SourceDocument(value, faults)
    version = value if isinstance(value, dict) else {}
    if str(version.get("openapi", "")).startswith("3.1"):
        return _state(openapi.events(document), faults, EVENT_TYPE)
    if str(version.get("asyncapi", "")).startswith("3."):
        return _state(asyncapi.events(document), faults, EVENT_TYPE)
    for name in FORMATS:
        if name in version:
            faults.wrong((name,), version[name], "3.1" if name == "openapi" else "3.0.0")
            faults.check()
    faults.add((), "the file must begin with `openapi: 3.1.0` or `asyncapi: 3.0.0`")
    faults.check()
    raise AssertionError("unreachable")


def _state(events: list[Event], faults: Faults, noun: Any) -> tuple[ConfigState, Faults]:
    from angarium.cli.configuration.fault import Faults as Checked
    from angarium.cli.configuration.field import INVALID
    from angarium.cli.configuration.noun import filled
    from angarium.cli.configuration.state import ConfigState

    state = ConfigState(sections={(noun.plural,)})
    for one in events:
        if noun.key.read(one.name, one.path, faults) is INVALID:
            continue
        path, fields = (noun.plural, one.name), dict(one.fields)
        if path in state.items:
            faults.add(one.path, f"another event type of this file has the name {one.name}")
        if noun.field("groupName").kind.read(fields["groupName"], (), Checked()) is INVALID:
            if fields["groupName"] is not None:
                note(f"angarium: {one.name}: the tag {fields['groupName']!r} cannot name a group; left out")
            fields["groupName"] = None
        read = {
            field.name: field.kind.read(fields[field.name], (*one.path, field.name), faults)
            for field in noun.fields
            if fields.get(field.name) is not None
        }
        state.add(noun, path, filled(noun, read))
        faults.places[path] = faults.place(one.path)  # type: ignore[assignment]
    faults.check()
    return state, faults
