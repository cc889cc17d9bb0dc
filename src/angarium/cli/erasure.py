"""`angarium application` and `angarium message`: export everything as files, or erase it and keep a proof."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from angarium import json_text
from angarium.cli.error import Exit, note
from angarium.cli.message import MESSAGE
from angarium.cli.message import app as message
from angarium.cli.option import Yes, confirm
from angarium.cli.remote import ApiField, Given, Remote, calling
from angarium.cli.resource import application

__all__ = ["application", "message"]

OF_MESSAGE: Final = ("message", "attempt", "delivery", "event-id")
KINDS: Final = (
    "application", "endpoint", *OF_MESSAGE, "background-task", "audit", "statistics", "usage",
    "inbox-request", "api-key",
)  # fmt: skip
MANIFEST: Final = "manifest.json"
Out = Annotated[Path, typer.Option(help="Directory for the files; created if it is missing.")]
APPLICATION: Final = ApiField("application", "ID or UID of the application.", argument=True)
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done.")]


@application.command("export")
@calling(APPLICATION, app=False)
def export_application(server: Remote, given: Given, out: Out) -> None:
    """Export everything of an application as files, one JSON object per line.

    $ angarium application export customer-1 --out customer-1
    """
    _export(server, given["application"], KINDS, out, {})


@message.command("export")
@calling(MESSAGE)
def export_message(server: Remote, given: Given, out: Out) -> None:
    """Export a message with its attempts as files, one JSON object per line.

    $ angarium message export msg_0ujsswThIGTUYm2K8FjOOfXtY1K --out message
    """
    _export(server, server.app, OF_MESSAGE, out, {"message": given["message"]})


def _export(server: Remote, app: str, kinds: Sequence[str], out: Path, more: dict[str, str]) -> None:
    """Write a file for each kind, then the manifest. A directory without a manifest is of an export that did
    not end, and its files are written again."""
    if (out / MANIFEST).exists():
        raise typer.BadParameter(f"{out} has an export already; name another directory")
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        files = [_write(server, app, kind, out / f"{kind}.jsonl", more) for kind in kinds]
        server.raw("POST", "/app/{}/export", app, body={"files": files, **more})
        manifest = {"application": app, **more, "files": files}
        unfinished = out / f"{MANIFEST}.part"
        unfinished.write_text(json.dumps(manifest, indent=2) + "\n")
        unfinished.rename(out / MANIFEST)  # it is there only when it is complete
    except OSError as error:
        raise typer.BadParameter(f"cannot write to {out}: {error.strerror}") from error
    total = sum(one["records"] for one in files)
    server.show(manifest, f"{total} records in {len(files)} files in {out}")


def _write(server: Remote, app: str, kind: str, path: Path, more: dict[str, str]) -> dict[str, Any]:
    """Write the records of one kind, page by page."""
    digest, records = hashlib.sha256(), 0
    iterator: str | None = None
    with path.open("wb") as file:
        while True:
            page = server.call("GET", "/app/{}/export/{}", app, kind, iterator=iterator, **more)
            for record in page["data"]:
                line = json_text.write(record).encode() + b"\n"
                digest.update(line)
                file.write(line)
                records += 1
            iterator = page["iterator"]
            if iterator is None:
                return {"name": path.name, "records": records, "sha256": digest.hexdigest()}


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
    if wait:
        *_, task = server.until_ended("/background-task/{}", task)
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
