"""The command line: commands of the service, and commands that call one from anywhere.

The first need the extra `server`; without it only the others are there. Commands import what they use when
they run, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import NoReturn

import typer

from angarium import __version__
from angarium.cli import again, doctor, init, listen, message, play, remote, trigger, verify
from angarium.client import ClientError
from angarium.core.errors import AngariumError

app = typer.Typer(
    name="angarium",
    help="A webhook sending service: signed, retried, fair to every endpoint, on one PostgreSQL.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_CALLS = "Call a server (ANGARIUM_URL, ANGARIUM_TOKEN)"
_SERVES = "Run the service"
for call in (
    message.send,
    trigger.trigger,
    listen.listen,
    play.play,
    message.tail,
    message.show,
    message.resend,
    again.recover,
    again.replay,
    verify.verify,
    verify.sign,
    doctor.doctor,
    init.init,
):
    app.command(rich_help_panel=_CALLS)(call)
app.add_typer(again.dlq, name="dlq", rich_help_panel=_CALLS)

if find_spec("pydantic_settings") is not None:
    from angarium.cli import api_key, dead_letter, demo, dev, key, migrate, profile, serve, setting, token

    for command in (
        serve.serve,
        dev.dev,
        demo.demo,
        migrate.migrate,
        token.token,
        setting.settings,
    ):
        app.command(rich_help_panel=_SERVES)(command)
    app.command("rekey", rich_help_panel=_SERVES)(key.rewrap)
    for name, group in (
        ("key", key.app),
        ("deadletter", dead_letter.app),
        ("profile", profile.app),
        ("apikey", api_key.app),
    ):
        app.add_typer(group, name=name, rich_help_panel=_SERVES)


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def main() -> NoReturn:
    """Run a command. What goes wrong on purpose is told in words, without a traceback."""
    try:
        app()
    except ClientError as error:
        remote.fail(error)
    except AngariumError as error:
        print(f"angarium: {error.detail}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on; nothing to say
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
