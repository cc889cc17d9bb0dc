"""`/app/{app_id}/export`: everything of an application, or of a message, as records. An addition to Svix."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field

from angarium.api.answer import Out
from angarium.api.auth import OrgAppOf, ServicesOf
from angarium.api.body import Wire
from angarium.api.field import MESSAGE, says
from angarium.api.route import API_PATH, WireRoute
from angarium.service.export import ExportKind

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Application"])

DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
Message = Annotated[
    str | None,
    Query(
        description="Only of this message: kinds `message`, `attempt`, `delivery`, `event-id`.",
        examples=[MESSAGE],
    ),
]


class ExportPageOut(Out):
    """Records of an export."""

    data: Annotated[
        list[dict[str, Any]], says("The records, oldest first.", [{"id": MESSAGE, "payload": "{}"}])
    ]
    iterator: Annotated[
        str | None,
        says("Pass it as `iterator` to get the next page; null at the end.", "WyIwMTliIl0"),
    ]
    done: Annotated[bool, says("Whether this is the last page.", True)]


class ExportFile(Wire):
    """A file of an export."""

    name: Annotated[
        str, Field(min_length=1, max_length=64, pattern=r"^[a-z.-]+$"), says("Its name.", "message.jsonl")
    ]
    records: Annotated[int, Field(ge=0, strict=True), says("How many records it has.", 42)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$"), says("Its SHA-256.", DIGEST)]


class ExportIn(Wire):
    """What was exported."""

    files: Annotated[
        list[ExportFile],
        Field(min_length=1, max_length=20),
        says("The files.", [{"name": "message.jsonl", "records": 42, "sha256": DIGEST}]),
    ]
    message: Annotated[str | None, says("The message, if only that was exported.", MESSAGE)] = None


@router.get("/app/{app_id}/export/{kind}", operation_id="v1.application.export")
async def export(
    application: OrgAppOf,
    services: ServicesOf,
    kind: Annotated[
        ExportKind, Path(description="What the records are.", examples=[ExportKind.MESSAGE.value])
    ],
    iterator: Annotated[
        str | None, Query(description="`iterator` of the page before.", examples=["WyIwMTliIl0"])
    ] = None,
    message: Message = None,
) -> ExportPageOut:
    """Export an application.

    A page of records of one kind. Payloads are the bytes that were sent, as text; secrets and header values
    are fingerprints. Pages are not of one snapshot.
    """
    page = await services.export.page(application, kind, iterator, message=message)
    return ExportPageOut(data=list(page.records), iterator=page.cursor, done=page.cursor is None)


@router.post("/app/{app_id}/export", operation_id="v1.application.export-done", status_code=204)
async def export_done(application: OrgAppOf, services: ServicesOf, body: ExportIn) -> None:
    """Record an export.

    Writes `application.exported` or `message.exported` to the audit log, with the digest of each file.
    """
    files = {one.name: (one.records, one.sha256) for one in body.files}
    await services.export.done(application, files, message=body.message)
