"""Page of the audit log of an application: who changed what, when and from where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from angarium.core import ids
from angarium.core.audit import Actor, ActorKind
from angarium.core.product import Product
from angarium.portal.kit.route import page
from angarium.portal.kit.text import known, t
from angarium.portal.kit.visit import AnyVisit, Visit
from angarium.service.audit import PREFIX
from angarium.store.audit import Record

ROWS: Final = 50
MAX_VALUE: Final = 200  # characters of a value that are shown
NOUNS: Final = (
    "endpoint",
    "message",
    "delivery",
    "task",
    "inbox",
    "contact",
    "portal_link",
    "session",
    "token",
    "api_key",
)
ALL_NOUNS: Final = ("application", *NOUNS, "portal", "event_type")
_CUSTOMERS: Final = (ActorKind.PORTAL_SESSION, ActorKind.APPLICATION_TOKEN, ActorKind.API_KEY)
_INTERNAL: Final = frozenset({"metadata", "version"})


async def show(visit: Visit) -> Response:
    """The records of the application."""
    return await records(visit, NOUNS, visit.app_id, for_customer, "customer/audit.html")


async def records(
    visit: AnyVisit,
    nouns: Sequence[str],
    app: str | UUID | None,
    line: Callable[[Record, Product, Callable[[str], str]], Line],
    template: str,
    **values: Any,
) -> Response:
    """A page of records of one application, or of all; `what` chooses one of the nouns."""
    noun = visit.asked("what") if visit.asked("what") in nouns else ""
    part = await visit.part(
        PREFIX,
        ROWS,
        lambda cursor, upwards, limit: visit.services.audit.page(
            visit.claims.org_id, cursor, app=app, action=noun or None, upwards=upwards, limit=limit
        ),
    )
    name = naming(visit.product)
    chosen = {"what": noun, "application": values.get("application")}
    return visit.render(
        template,
        section="audit",
        heading=t("audit.title"),
        nouns=nouns,
        noun=noun,
        lines=[line(one, visit.product, name) for one in part.rows],
        newer=part.newer and visit.path("audit", **chosen, after=part.newer),
        older=part.older and visit.path("audit", **chosen, before=part.older),
        **values,
    )


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


@dataclass(frozen=True, slots=True)
class AuditChange:
    """One changed field; None if it was or is absent."""

    field: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """A record as a row of a page."""

    at: datetime
    what: str
    who: str
    address: str | None
    target: str | None
    changes: list[AuditChange]
    record: Record


def for_customer(record: Record, product: Product, name: Callable[[str], str]) -> Line:
    """The row for a customer, without the operator's identity and internal changes."""
    operator = record.actor.kind not in _CUSTOMERS
    told = not record.audit_event.action.startswith("application.")
    return Line(
        record.at,
        words(record.audit_event.action),
        _who_for_customer(record.actor, product.profile.title),
        None if operator else record.actor.address,
        name(record.audit_event.target) if record.audit_event.target else None,
        _changes(record, name, _INTERNAL) if told else [],
        record,
    )


def for_operator(record: Record, _: Product, name: Callable[[str], str]) -> Line:
    """The row for an operator, with all details."""
    return Line(
        record.at,
        words(record.audit_event.action),
        t(f"audit.actor.{record.actor.kind}", name=record.actor.name).strip(),
        record.actor.address,
        name(record.audit_event.target) if record.audit_event.target else None,
        _changes(record, name),
        record,
    )


def words(action: str) -> str:
    """The title of an action; unknown actions unchanged."""
    return t(f"audit.action.{action}") if known(f"audit.action.{action}") else action


def _who_for_customer(actor: Actor, product: str) -> str:
    shown = actor.kind in (*_CUSTOMERS, ActorKind.SYSTEM)
    return t(f"audit.by.{actor.kind}", name=actor.name) if shown else product


def _changes(
    record: Record, name: Callable[[str], str], without: frozenset[str] = frozenset()
) -> list[AuditChange]:
    before, after = record.audit_event.before or {}, record.audit_event.after or {}
    return [
        AuditChange(_field(field), _value(before, field, name), _value(after, field, name))
        for field in sorted((before.keys() | after.keys()) - without)
        if before.get(field) is not None or after.get(field) is not None
    ]


def _field(name: str) -> str:
    return t(f"audit.field.{name}") if known(f"audit.field.{name}") else name


def _value(values: Any, field: str, name: Callable[[str], str]) -> str | None:
    if field not in values:
        return None
    value = values[field]
    match value:
        case None:
            return t("audit.value.none")
        case bool():
            return t("audit.value.yes") if value else t("audit.value.no")
        case str():
            text = name(value) if value else t("audit.value.empty")
        case list():
            text = ", ".join(map(str, value)) or t("audit.value.none")
        case _:
            text = msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "…"


def routes() -> list[Route]:
    return [page("/audit", show)]
