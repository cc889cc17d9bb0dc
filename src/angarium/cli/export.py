"""`angarium application export` and `angarium message export`: everything as files, one object per line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from angarium import json_text
from angarium.cli.erasure import APPLICATION, application, message
from angarium.cli.message import MESSAGE
from angarium.cli.remote import Given, Remote, calling

__all__ = ["application", "message"]

OF_MESSAGE: Final = ("message", "attempt", "delivery", "event-id")
KINDS: Final = (
    "application", "endpoint", *OF_MESSAGE, "background-task", "audit", "statistics", "usage",
    "inbox-request", "api-key",
)  # fmt: skip
MANIFEST: Final = "manifest.json"
Out = Annotated[Path, typer.Option(help="Directory for the files; created if it is missing.")]


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
