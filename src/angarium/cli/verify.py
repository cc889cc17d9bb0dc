"""`angarium verify` and `angarium sign`: verify, diagnose and create signatures."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from angarium.cli.error import Exit
from angarium.cli.header_text import Pairs, read_headers
from angarium.cli.option import Json, content
from angarium.cli.remote import Remote, calling
from angarium.core import timestamp
from angarium.receiver import SCHEMES, VerificationError
from angarium.receiver.diagnose import diagnose
from angarium.testing import sign as make

MOST_ENDPOINTS: Final = 500  # whose secrets are requested
Scheme = Annotated[str, typer.Option(help=f"One of {', '.join(SCHEMES)}.")]
Body = Annotated[str, typer.Option(help="The body: @file, - for standard input, or the text.")]
Secret = Annotated[str, typer.Option(envvar="WEBHOOK_SECRET", help="The endpoint's signing secret, whsec_….")]


@calling()
def verify(
    server: Remote,
    secret: Secret,
    headers: Annotated[
        str,
        typer.Option(help="The headers, in any common form: @file, - for standard input, or the text."),
    ],
    body: Body,
    scheme: Scheme = "standard",
    at: Annotated[
        str | None, typer.Option(help="Verify as of this time: epoch seconds, or 2026-11-20T08:00:00Z.")
    ] = None,
    other: Annotated[
        list[str] | None, typer.Option(help="Secret of another endpoint to try; repeatable.")
    ] = None,
    endpoints: Annotated[
        bool,
        typer.Option(
            "--endpoints",
            help="Also try the secrets of the application's endpoints, fetched from the server.",
        ),
    ] = False,
) -> None:
    """Verify a request, and explain an invalid signature. Exit code 1 if it is not valid.

    $ angarium verify --secret whsec_… --headers @headers.txt --body @body.json
    """
    if headers == body == "-":
        raise typer.BadParameter("headers and body cannot both be on standard input")
    raw, lines, now = content(body), _headers(headers), _time(at)
    others = {f"the other endpoint ({number})": one for number, one in enumerate(other or [], 1)}
    try:
        found = diagnose(raw, lines, secret, scheme, now=now, others=others)
        if found is not None and endpoints:
            others |= _secrets(server)
            found = diagnose(raw, lines, secret, scheme, now=now, others=others)
    except VerificationError as error:
        raise typer.BadParameter(str(error)) from error
    if found is None:
        server.show({"verified": True}, "The signature is valid.")
        return
    said = {"verified": False, "mistake": found.code, "words": found.words}
    server.show(said, f"The signature is not valid ({found.code}). {found.words}")
    raise typer.Exit(Exit.FAILED)


def sign(
    secret: Secret,
    body: Body,
    scheme: Scheme = "standard",
    message_id: Annotated[str | None, typer.Option("--id", help="Message ID; default: a new one.")] = None,
    event_type: Annotated[
        str, typer.Option("--type", help="Event type, if the scheme has a header for it.")
    ] = "test",
    at: Annotated[str | None, typer.Option(help="Time to sign; default: now.")] = None,
    as_json: Json = False,
) -> None:
    """Print the signature headers for a body.

    $ angarium sign --secret whsec_… --body '{"n": 1}'
    """
    try:
        made = make(content(body), secret, scheme, id=message_id, type=event_type, timestamp=int(_time(at)))
    except VerificationError as error:
        raise typer.BadParameter(str(error)) from error
    print(json.dumps(made) if as_json else "\n".join(f"{name}: {value}" for name, value in made.items()))


def _secrets(server: Remote) -> dict[str, str]:
    """The secrets of the application's endpoints by URL. Raises ClientError."""
    found = {}
    for endpoint in server.each("/app/{app}/endpoint", limit=MOST_ENDPOINTS):
        secret = server.call("GET", "/app/{app}/endpoint/{}/secret", endpoint["id"])["key"]
        found[f"{endpoint['url']} ({endpoint['id']})"] = secret
    return found


def _headers(given: str) -> Pairs:
    raw = content(given)
    try:
        return read_headers(raw)
    except ValueError as error:
        hint = f". To read the file, write @{given}" if _names_a_file(given) else ""
        raise typer.BadParameter(f"the headers cannot be read: {error}{hint}") from error


def _names_a_file(given: str) -> bool:
    try:
        return Path(given).is_file()
    except (OSError, ValueError):
        return False


def _time(given: str | None) -> float:
    if given is None:
        return time.time()
    try:
        return float(given)
    except ValueError:
        try:
            return timestamp.parse(given).timestamp()
        except ValueError as error:
            raise typer.BadParameter(f"write epoch seconds; a time {error}, not {given!r}") from None
