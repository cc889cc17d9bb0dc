"""Page of the audit log of an application: who changed what, when and from where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from angarium.core import ids
from angarium.core.product import Product
from angarium.portal import audit_words
from angarium.portal.route import page
from angarium.portal.visit import Visit
from angarium.service.audit import PREFIX, Audit
from angarium.store.audit import Record

ROWS: Final = 50


async def show(visit: Visit) -> Response:
    noun = noun_of(visit.request, audit_words.NOUNS)
    found, newer, older = await records(
        visit.services.audit, visit.application.org_id, visit.request, noun, visit.app_id
    )
    name = naming(visit.product)
    return visit.render(
        "audit.html",
        section="audit",
        heading="Activity",
        nouns=audit_words.NOUNS,
        noun=noun,
        lines=[audit_words.for_customer(one, visit.product.profile.title, name) for one in found],
        newer=newer and visit.path("audit", what=noun, after=newer),
        older=older and visit.path("audit", what=noun, before=older),
    )


def noun_of(request: Request, nouns: dict[str, str]) -> str:
    """The kind of object that the query selects; empty for all."""
    asked = request.query_params.get("what", "")
    return asked if asked in nouns else ""


async def records(
    audit: Audit, org_id: str, request: Request, noun: str, app: str | UUID | None
) -> tuple[Sequence[Record], str | None, str | None]:
    """A page of records, and the cursors of newer and older ones."""
    after, before = (ids.parse(PREFIX, request.query_params.get(name, "")) for name in ("after", "before"))
    backwards = after is not None
    found = list(
        await audit.page(
            org_id, after or before, app=app, action=noun or None, upwards=backwards, limit=ROWS + 1
        )
    )
    more = len(found) > ROWS
    found = found[:ROWS]
    if backwards:
        found.reverse()
    if not found:
        return [], None, None
    newer = ids.text(PREFIX, found[0].id) if (more if backwards else before is not None) else None
    older = ids.text(PREFIX, found[-1].id) if backwards or more else None
    return found, newer, older


def naming(product: Product) -> Callable[[str], str]:
    """A function that converts native ids to the ids of this product."""
    known = {
        ids.ENDPOINT: product.profile.ids.endpoint,
        ids.MESSAGE: product.profile.ids.message,
        ids.ATTEMPT: product.profile.ids.attempt,
    }

    def name(text: str) -> str:
        for native, own in known.items():
            if (found := ids.parse(native, text)) is not None:
                return ids.text(own, found)
        return text

    return name


def routes() -> list[Route]:
    return [page("/audit", show)]
