"""`angarium alert`: tests the channels of alerts to people."""

from __future__ import annotations

import json
import os
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from angarium.cli.error import Exit
from angarium.cli.option import Json
from angarium.core import ids
from angarium.core.email import is_email
from angarium.core.errors import SettingsError
from angarium.settings import Settings, load

if TYPE_CHECKING:
    from angarium.alert.channel import Channels

app = typer.Typer()


@app.callback()
def _noun() -> None:
    """Alerts to the operator and to contacts."""


@app.command("test")
def send_test(
    to: Annotated[
        str | None, typer.Option(help="Mail the test to this address only, and call no webhook.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send a test mail and call the alert webhook, and print what the servers said.

    Exit code 1 if one failed.

    $ angarium alert test
    $ angarium alert test --to you@example.com
    """
    settings = load()
    if to is not None and not is_email(to):
        raise SettingsError(f"--to: {to!r} is not an email address; write user@example.com")
    from angarium.server import process

    results = process.run(_test(settings, to))
    for name, (sent, said) in results.items():
        line = {"channel": name, "sent": sent, "said": said}
        print(json.dumps(line) if as_json else f"{name}: {'sent' if sent else 'FAILED'}, {said}")
    if not all(sent for sent, _ in results.values()):
        raise typer.Exit(Exit.FAILED)


async def _test(settings: Settings, to: str | None) -> dict[str, tuple[bool, str]]:
    """Whether each channel worked, and what its server said."""
    from angarium import build

    async with AsyncExitStack() as stack:
        channels = build.channels(settings, stack, None)
        addresses = channels.operator if to is None else (to,)
        if addresses and channels.mail is None:
            raise SettingsError("ANGARIUM_SMTP_URL is not set, so no mail can be sent")
        if not addresses and channels.webhook is None:
            raise SettingsError(
                "There is nothing to test: set ANGARIUM_SMTP_URL and ANGARIUM_ALERT_MAIL_TO, or "
                "ANGARIUM_ALERT_WEBHOOK_URL"
            )
        results = {}
        if addresses:
            results["mail"] = await _mail(channels, addresses)
        if to is None and channels.webhook is not None:
            results["webhook"] = await _call(channels)
        return results


async def _mail(channels: Channels, to: tuple[str, ...]) -> tuple[bool, str]:
    from angarium.alert import letter
    from angarium.alert.mail import mail
    from angarium.alert.smtp import Verdict

    assert channels.mail is not None
    now = time.time()
    made = mail(letter.trial(), channels.sender, to, ids.new(now, os.urandom(8)), now)
    (result,) = await channels.mail.send([made])
    return result.verdict is Verdict.SENT, result.said


async def _call(channels: Channels) -> tuple[bool, str]:
    from angarium.alert import hook, letter

    assert channels.webhook is not None
    assert channels.post is not None
    form = hook.form_of(channels.webhook)
    result = await channels.post(
        channels.webhook.url, hook.HEADERS, hook.body(letter.trial(), None, form), timeout=15.0
    )
    return result.kind is None, result.error or f"{result.status_code} ({form} form)"
