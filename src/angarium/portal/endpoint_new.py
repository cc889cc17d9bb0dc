"""Pages that add an endpoint: the form, the check of its URL, and a test request before it is saved."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import BadRequest, Invalid, TooManyEndpoints
from angarium.core.nouns import EventType
from angarium.core.signature import public_form
from angarium.core.url import MAX_URL
from angarium.portal import error_page, event_choice
from angarium.portal.endpoint_form import BLANK_HEADERS, NAMED, EndpointForm
from angarium.portal.form import Form
from angarium.portal.route import action, page
from angarium.portal.visit import Visit
from angarium.service.endpoint_draft import EndpointDraft
from angarium.service.event_type import example_of
from angarium.service.url_check import Trial


async def new(visit: Visit) -> Response:
    """The empty form; the query may set `url` and `types`."""
    query = visit.request.query_params
    wanted = tuple(dict.fromkeys(query.getlist("types")))[:100]
    types = await event_choice.visible(visit)
    everything = event_choice.choice(types, None, visit.product.profile).offers_everything
    form = EndpointForm(
        url=query.get("url", "")[:MAX_URL], event_types=wanted or (None if everything else ())
    )
    return _shown(visit, form, types)


async def create(visit: Visit, posted: Form) -> Response:
    """Saves the endpoint. A secret that is shown only once is shown now."""
    types = await event_choice.visible(visit)
    form = EndpointForm.read(posted, {})
    await form.check(visit, types)
    if form.faults:
        return _shown(visit, form, types, status=422)
    try:
        made = await visit.services.endpoint.create(
            visit.application, form.apply(EndpointDraft("")), headers=form.header_values({})
        )
    except Invalid as error:
        form.blame(error)
        return _shown(visit, form, types, status=422)
    except TooManyEndpoints as error:
        return _shown(visit, form, types, status=error_page.status_of(error), full=error.detail)
    ref = visit.endpoint_ref(made.id)
    if visit.product.profile.secrets.display == "once" and visit.may(Capability.VIEW_SECRET):
        return visit.render(
            "endpoint_created.html",
            section="endpoints",
            heading="Endpoint added",
            endpoint=made,
            ref=ref,
            secret=public_form(made.keys[0].secret),
        )
    return visit.go(visit.path("endpoints", ref, said="created"))


async def check(visit: Visit) -> Response:
    """The result of checking the URL in the query; a part of the form."""
    url = visit.request.query_params.get("url", "").strip()
    found = await visit.services.url_check.check(visit.app_id, url) if url else None
    return visit.render("endpoint_check.html", check=found)


async def matches(visit: Visit) -> Response:
    """The number of event types that a choice matches; a part of the form."""
    query = visit.request.query_params
    types = await event_choice.visible(visit)
    wanted = event_choice.read(query.get("every", ""), query.getlist("types"), query.get("more", ""))
    choice = event_choice.choice(types, wanted, visit.product.profile)
    return visit.render("endpoint_matches.html", choice=choice)


async def attempt(visit: Visit, posted: Form) -> Response:
    """Sends one request to the URL in the form. Nothing is saved."""
    # this service makes a request to any URL that is entered, so viewing rights are not enough
    visit.require(Capability.MANAGE_ENDPOINT)
    types = await event_choice.visible(visit)
    endpoint = None
    if ref := posted.text("endpoint"):
        endpoint_id = ids.parse(visit.product.profile.ids.endpoint, ref) or ids.parse(ids.ENDPOINT, ref)
        known = ids.text(ids.ENDPOINT, endpoint_id) if endpoint_id else ref
        endpoint = await visit.services.endpoint.find(visit.app_id, known)
    form = EndpointForm.read(posted, {} if endpoint is None else endpoint.headers)
    event_type, payload = _example(event_choice.matching(types, form.event_types) or types)
    trial: Trial | None = None
    words = None
    try:
        trial = await visit.services.url_check.attempt(
            visit.product,
            visit.app_id,
            form.url,
            event_type,
            msgspec.json.encode(payload),
            endpoint,
            form.header_values,
        )
    except Invalid as error:
        form.blame(error)
        words = form.faults.get("url") or form.faults.get("headers")
    except BadRequest as error:
        words = error_page.words_of(error)
    if _is_part(visit.request):
        return visit.render("endpoint_trial.html", trial=trial, words=words)
    if endpoint is not None:
        return visit.render(
            "endpoint_trial_page.html",
            section="endpoints",
            heading="Test request",
            trial=trial,
            words=words,
            back=visit.path("endpoints", visit.endpoint_ref(endpoint.id), "settings"),
        )
    return _shown(visit, form, types, trial=trial, words=words)


def _is_part(request: Request) -> bool:
    return request.headers.get("hx-request") == "true"


def _example(types: list[EventType]) -> tuple[str, dict[str, Any]]:
    """An event type and an example for the test request."""
    for one in types:
        if (example := example_of(one)) is not None:
            return one.name, example
    return (types[0].name if types else "test"), {"test": True}


def _shown(
    visit: Visit,
    form: EndpointForm,
    types: list[EventType],
    *,
    status: int = 200,
    trial: Trial | None = None,
    words: str | None = None,
    full: str | None = None,
) -> Response:
    return visit.render(
        "endpoint_new.html",
        status=status,
        section="endpoints",
        heading="Add an endpoint",
        form=form,
        choice=event_choice.choice(types, form.event_types, visit.product.profile),
        named=visit.product.profile.management.dialect in NAMED,
        blanks=range(len(form.headers), len(form.headers) + BLANK_HEADERS),
        trial=trial,
        words=words,
        full=full,
    )


def routes() -> list[Route]:
    return [
        page("/endpoints/new", new, Capability.MANAGE_ENDPOINT),
        page("/endpoints/check", check, Capability.MANAGE_ENDPOINT),
        page("/endpoints/matches", matches),
        action("/endpoints/try", attempt, Capability.CREATE_ATTEMPTS),
        action("/endpoints", create, Capability.MANAGE_ENDPOINT),
    ]
