"""`angarium doctor`: checks a receiver against the production checklist."""

from __future__ import annotations

import json
import os
import time
from typing import Annotated, Final

import typer

from angarium.cli import remote
from angarium.cli.reach import CHECKS, Way
from angarium.cli.verify import Scheme, Secret
from angarium.receiver import SCHEMES, VerificationError
from angarium.receiver.checkup import Checkup
from angarium.receiver.finding import Finding

SIGNS: Final = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL", "skip": "-   "}
ASIDE: Final = (
    "Not checked: that slow work runs after the response, that each delivery is logged,\n"
    "that failures raise an alert, and that production uses this URL."
)


def doctor(
    url: Annotated[
        str, typer.Argument(help="URL of your receiver, such as https://shop.example.com/webhooks.")
    ],
    secret: Secret,
    scheme: Scheme = "standard",
    timeout: Annotated[
        float, typer.Option(min=0.1, max=60, help="Timeout of the sender, in seconds.")
    ] = 15.0,
    event_type: Annotated[
        str,
        typer.Option(
            "--type", help="Event type to send; one that the receiver handles gives better results."
        ),
    ] = "angarium.doctor",
    data: Annotated[str | None, typer.Option(help="Event data to send, a JSON object.")] = None,
    allow_http: Annotated[
        bool,
        typer.Option(
            "--allow-http", help="Allow http and private addresses, for a receiver on this machine."
        ),
    ] = False,
    as_json: remote.Json = False,
) -> None:
    """Check a receiver with about fifteen requests, half of them forged. Exit code 1 if a check fails.

    The receiver will handle the correctly signed events.
    """
    if scheme not in SCHEMES:
        raise typer.BadParameter(f"the scheme must be one of {', '.join(SCHEMES)}")
    try:
        way = Way(url, timeout, local=allow_http)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    checkup = Checkup(
        way.send, SCHEMES[scheme], secret, timeout=timeout, clock=time.time, entropy=os.urandom,
        event_type=event_type, data=_data(data),
    )  # fmt: skip
    found: list[Finding] = []
    try:
        for one in way.findings():
            _show(found, one, as_json)
        if found[-1].check == CHECKS[-1] and found[-1].level != "fail":
            for one in checkup.findings():
                _show(found, one, as_json)
    except VerificationError as error:
        raise typer.BadParameter(str(error)) from error
    failed = sum(one.level == "fail" for one in found)
    warned = sum(one.level == "warn" for one in found)
    if as_json:
        checks = [{"check": one.check, "level": one.level, "words": one.words} for one in found]
        remote.show({"url": url, "passed": not failed, "checks": checks}, True, "")
    else:
        print(f"\n{ASIDE}\n\n{failed} failed, {warned} warned, of {len(found)} checks")
    if failed:
        raise typer.Exit(remote.FAILED)


def _show(found: list[Finding], one: Finding, as_json: bool) -> None:
    found.append(one)
    if not as_json:
        print(f"{SIGNS[one.level]}  {one.check:<18}{one.words}", flush=True)


def _data(given: str | None) -> dict[str, object] | None:
    if given is None:
        return None
    try:
        data = json.loads(given)
    except ValueError as error:
        raise typer.BadParameter(f"the data is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise typer.BadParameter("the data must be a JSON object")
    return data
