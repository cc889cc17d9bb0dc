"""`angarium application erase` and `angarium message erase`: delete everything, and keep a proof."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer

from angarium.cli.error import Exit, note
from angarium.cli.message import MESSAGE
from angarium.cli.message import app as message
from angarium.cli.option import Yes, confirm
from angarium.cli.remote import ApiField, Given, Remote, calling
from angarium.cli.resource import application

__all__ = ["application", "message"]

POLL: Final = 0.5  # seconds between looks at the task
APPLICATION: Final = ApiField("application", "ID or UID of the application.", argument=True)
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")]


@application.command("erase")
@calling(APPLICATION, app=False)
def erase_application(server: Remote, given: Given, yes: Yes = False, wait: Wait = True) -> None:
    """Delete everything of an application, permanently. The audit log keeps the proof.

    $ angarium application erase customer-1 --yes
    """
    ref = given["application"]
    confirm(
        f"Everything of {ref} will be deleted: endpoints, messages, attempts, statistics. "
        "It cannot be undone",
        yes,
    )
    _follow(server, server.call("POST", "/app/{}/erase", ref), f"{ref} is erased", wait=wait)


@message.command("erase")
@calling(MESSAGE)
def erase_message(server: Remote, given: Given, yes: Yes = False, wait: Wait = True) -> None:
    """Delete what a message said and what receivers said about it, permanently. Its ID stays in the log.

    $ angarium message erase msg_0ujsswThIGTUYm2K8FjOOfXtY1K --yes
    """
    ref = given["message"]
    confirm(f"The payload of {ref}, its headers and its responses will be deleted. It cannot be undone", yes)
    _follow(server, server.call("POST", "/app/{app}/msg/{}/erase", ref), f"{ref} is erased", wait=wait)


def _follow(server: Remote, task: dict[str, Any], done: str, *, wait: bool) -> None:
    """Print the task, when it has ended if that is waited for. Exit code 1 if it failed."""
    while wait and task["status"] == "running":
        time.sleep(POLL)
        task = server.call("GET", "/background-task/{}", task["id"])
    rows = ", ".join(f"{table}: {count}" for table, count in sorted(task["data"].get("rows", {}).items()))
    words = {
        "finished": f"{done}; rows deleted: {rows or 'none'}",
        "running": f"task {task['id']} is running",
        "failed": f"task {task['id']} failed: {task['data'].get('error', '')}",
    }
    server.show(task, words[task["status"]])
    if task["status"] == "failed":
        note("angarium: run the command again to continue")
        raise typer.Exit(Exit.FAILED)
