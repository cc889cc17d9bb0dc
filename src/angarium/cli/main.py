"""Defines the command line: the tree of nouns and verbs, and the old names that still work.

Commands import their own dependencies when they run, so commands start fast. Those that run the service need
the extra `server`.
"""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from angarium import __version__
from angarium.cli.command import Root, placed


class Tree(Root):
    """Everything that `angarium` can do."""

    places = {  # noqa: RUF012 (declared as a ClassVar in Root)
        **placed(
            "Manage (calls a server: ANGARIUM_URL, ANGARIUM_TOKEN)",
            {
                "application": ("erasure:application", "Applications: the customers of an organization."),
                "endpoint": ("endpoint:app", "Endpoints of an application."),
                "event-type": ("event_type:app", "Event types of an organization."),
                "message": ("erasure:message", "Send, show, follow and resend messages."),
                "delivery": ("delivery:delivery", "The log of deliveries, and resending by filter."),
                "attempt": ("delivery:attempt", "Attempts of a message or an endpoint."),
                "dead-letter": ("dead_letter:app", "Undelivered messages."),
                "background-task": ("resource:background_task", "Tasks such as recover."),
                "audit": ("audit:app", "The audit log: who changed what."),
                "api-key": ("credential:api_key", "API keys of products."),
                "token": ("credential:token", "Tokens of the API."),
                "quota": ("quota:app", "Limits of applications."),
                "usage": ("quota:usage", "Print what each application used in each month."),
                "apply": ("apply:apply", "Make an organization as files describe it."),
                "diff": ("apply:diff", "Show what apply would change."),
                "export": ("apply:export", "Print the configuration of an organization as YAML."),
            },
        ),
        **placed(
            "Develop a receiver",
            {
                "listen": ("listen:listen", "Forward the messages of an application to this machine."),
                "trigger": ("trigger:trigger", "Send examples from the catalogue, to test a receiver."),
                "play": ("play:play", "Create a temporary inbox, and show and verify its requests."),
                "verify": ("verify:verify", "Verify a request, and explain an invalid signature."),
                "sign": ("verify:sign", "Print the signature headers for a body."),
                "doctor": (
                    "doctor:doctor",
                    "Check a receiver with about fifteen requests, half of them forged.",
                ),
                "init": ("init:init", "Write a starter receiver with tests."),
            },
        ),
        **placed(
            "Run the service",
            {
                "serve": ("serve:serve", "Run the service."),
                "dev": ("dev:dev", "Run a development server with an embedded PostgreSQL."),
                "demo": ("demo:demo", "Show how messages are accepted, signed, delivered and retried."),
                "migrate": ("serve:migrate", "Migrate the database schema to this release."),
                "health": ("health:health", "Ask a probe of a server on this host."),
                "settings": ("serve:settings", "Show all settings with their effective values."),
                "restore": ("restore:app", "Bring a restored database back into use."),
                "alert": ("alert:app", "Alerts to the operator and to contacts."),
                "key": ("key:app", "Keys that encrypt secrets in the database."),
                "profile": ("profile:app", "Profiles, which define products."),
            },
            service=True,
        ),
    }
    short = {"app": "application"}  # noqa: RUF012
    moved = {  # noqa: RUF012
        "version": "--version",
        "send": "message send",
        "show": "message show",
        "resend": "message resend",
        "tail": "message tail",
        "recover": "endpoint recover",
        "replay": "delivery resend",
        "dlq": "dead-letter",
        "dlq ls": "dead-letter list",
        "dlq replay": "dead-letter resend",
        "deadletter": "dead-letter",
        "deadletter list": "dead-letter list --database",
        "deadletter replay": "dead-letter resend --database",
        "apikey": "api-key",
        "apikey list": "api-key list --with-tokens --database",
        "apikey new": "api-key create",
        "apikey revoke": "api-key revoke --database",
        "token": "token create",
        "rekey": "key rewrap",
        "key new": "key create",
    }


app = typer.Typer(
    name="angarium",
    cls=Tree,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _group(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
) -> None:
    """A webhook sending service on PostgreSQL."""


def main() -> NoReturn:
    """Runs a command."""
    app(prog_name="angarium")
    raise AssertionError("the command line exits")


if __name__ == "__main__":
    main()
