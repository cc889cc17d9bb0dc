"""Pages that add an endpoint, test its URL before it is saved, change its settings and delete it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from angarium.core.claims import Capability
from angarium.core.errors import BadRequest, Invalid, TooManyEndpoints
from angarium.core.nouns import Endpoint, EventType
from angarium.core.signature import public_form
from angarium.core.url import MAX_URL, split_credentials
from angarium.portal.customer.endpoint import found, native_ref, render
from angarium.portal.customer.endpoint_form import (
    BLANK_HEADERS,
    EndpointForm,
    choice_of,
    hidden,
    matching,
    read_choice,
)
from angarium.portal.customer.event_type import visible
from angarium.portal.kit.form import Form
from angarium.portal.kit.route import action, error_words, page, status_of
from angarium.portal.kit.text import t
from angarium.portal.kit.visit import Visit
from angarium.service.endpoint_field import EndpointDraft
from angarium.service.event_type import example_of
from angarium.service.listener import URL as LISTENER
from angarium.service.url_check import Trial


async def new(visit: Visit) -> Response:
    """The empty form; the query may set `url` and `types`."""
    query = visit.request.query_params
    wanted = tuple(dict.fromkeys(query.getlist("types")))[:100]
    types = await visible(visit)
    everything = choice_of(types, None, visit.product.profile).offers_everything
    form = EndpointForm(
        url=query.get("url", "")[:MAX_URL], event_types=wanted or (None if everything else ())
    )
    return _new(visit, form, types)


async def create(visit: Visit, posted: Form) -> Response:
    """Saves the endpoint. A secret that is shown only once is shown now."""
    types = await visible(visit)
    form = EndpointForm.read(posted, {})
    await form.check(visit, types)
    if form.faults:
        return _new(visit, form, types, status=422)
    try:
        made = await visit.services.endpoint.create(
            visit.application, form.apply(EndpointDraft("")), headers=form.header_values({})
        )
    except Invalid as error:
        form.blame(error)
        return _new(visit, form, types, status=422)
    except TooManyEndpoints as error:
        return _new(visit, form, types, status=status_of(error), full=error.detail)
    ref = visit.endpoint_ref(made.id)
    if visit.product.profile.secrets.display == "once" and visit.may(Capability.VIEW_SECRET):
        return visit.render(
            "customer/endpoint_created.html",
            section="endpoints",
            heading=t("created.title"),
            endpoint=made,
            ref=ref,
            secret=public_form(made.keys[0].secret),
        )
    return visit.go(visit.path("endpoints", ref, done="created"))


async def check(visit: Visit) -> Response:
    """The result of checking the URL in the query; a part of the form."""
    url = visit.request.query_params.get("url", "").strip()
    found = await visit.services.url_check.check(visit.app_id, url) if url else None
    return visit.render("customer/endpoint_check.html", check=found)


async def matches(visit: Visit) -> Response:
    """The number of event types that a choice matches; a part of the form."""
    query = visit.request.query_params
    types = await visible(visit)
    wanted = read_choice(query.get("every", ""), query.getlist("types"), query.get("more", ""))
    choice = choice_of(types, wanted, visit.product.profile)
    return visit.render("customer/endpoint_matches.html", choice=choice)


async def attempt(visit: Visit, posted: Form) -> Response:
    """Sends one request to the URL in the form. Nothing is saved."""
    # this service makes a request to any URL that is entered, so viewing rights are not enough
    visit.require(Capability.MANAGE_ENDPOINT)
    types = await visible(visit)
    endpoint = None
    if ref := posted.text("endpoint"):
        endpoint = await visit.services.endpoint.find(visit.app_id, visit.native_endpoint(ref))
    form = EndpointForm.read(posted, {} if endpoint is None else endpoint.headers)
    event_type, payload = _example(matching(types, form.event_types) or types)
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
        words = error_words(error)
    if visit.is_partial:
        return visit.render("customer/endpoint_trial.html", trial=trial, words=words)
    if endpoint is not None:
        return visit.render(
            "customer/endpoint_trial_page.html",
            section="endpoints",
            heading=t("trial.title"),
            trial=trial,
            words=words,
            back=visit.path("endpoints", visit.endpoint_ref(endpoint.id), "settings"),
        )
    return _new(visit, form, types, trial=trial, words=words)


def _example(types: list[EventType]) -> tuple[str, dict[str, Any]]:
    """An event type and an example for the test request."""
    for one in types:
        if (example := example_of(one)) is not None:
            return one.name, example
    return (types[0].name if types else "test"), {"test": True}


def _new(
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
        "customer/endpoint_new.html",
        status=status,
        section="endpoints",
        heading=t("form.new"),
        form=form,
        choice=choice_of(types, form.event_types, visit.product.profile),
        named=visit.product.profile.management.endpoint_names,
        blanks=range(len(form.headers), len(form.headers) + BLANK_HEADERS),
        trial=trial,
        words=words,
        full=full,
    )


async def show(visit: Visit) -> Response:
    """A form if the visitor may change the settings; otherwise a list of them."""
    endpoint = await found(visit)
    return await _settings(visit, endpoint, EndpointForm.of(endpoint), await visible(visit))


async def change(visit: Visit, posted: Form) -> Response:
    """Saves all settings."""
    endpoint = await found(visit)
    types = await visible(visit)
    unseen = await hidden(visit, types, endpoint.event_types or ())
    form = EndpointForm.read(posted, endpoint.headers)
    await form.check(visit, types, endpoint.event_types)
    if not form.faults:
        try:
            await visit.services.endpoint.update(
                visit.application,
                native_ref(visit),
                lambda draft: form.apply(draft, unseen),
                headers=form.header_values,
            )
        except Invalid as error:
            form.blame(error)
    if form.faults:
        return await _settings(visit, endpoint, form, types, status=422)
    return visit.go(visit.path("endpoints", visit.endpoint_ref(endpoint.id), "settings", done="saved"))


async def delete(visit: Visit, posted: Form) -> Response:
    """Deletes the endpoint if its host was typed."""
    endpoint = await found(visit)
    if posted.text("host").lower() != host_of(endpoint):
        fault = t("delete.host_fault", host=host_of(endpoint))
        types = await visible(visit)
        return await _settings(visit, endpoint, EndpointForm.of(endpoint), types, status=422, fault=fault)
    await visit.services.endpoint.delete(visit.app_id, native_ref(visit))
    return visit.go(visit.path("endpoints", done="deleted"))


def host_of(endpoint: Endpoint) -> str:
    """The host of its URL, typed to confirm the deletion."""
    return urlsplit(split_credentials(endpoint.url)[0]).hostname or endpoint.url


async def _settings(
    visit: Visit,
    endpoint: Endpoint,
    form: EndpointForm,
    types: Sequence[EventType],
    *,
    status: int = 200,
    **values: Any,
) -> Response:
    unseen = await hidden(visit, types, endpoint.event_types or ())
    if form.event_types is not None:
        form.event_types = tuple(name for name in form.event_types if name not in unseen)
    return await render(
        visit,
        "customer/endpoint_settings.html",
        endpoint,
        "settings",
        status=status,
        form=form,
        choice=choice_of(types, form.event_types, visit.product.profile),
        named=visit.product.profile.management.endpoint_names,
        blanks=range(len(form.headers), len(form.headers) + BLANK_HEADERS),
        host=host_of(endpoint),
        listener=endpoint.url.startswith(LISTENER),
        **{"fault": None, **values},
    )


def routes() -> list[Route]:
    return [
        page("/endpoints/new", new, Capability.MANAGE_ENDPOINT),
        page("/endpoints/check", check, Capability.MANAGE_ENDPOINT),
        page("/endpoints/matches", matches),
        action("/endpoints/try", attempt, Capability.CREATE_ATTEMPTS),
        action("/endpoints", create, Capability.MANAGE_ENDPOINT),
        page("/endpoints/{endpoint}/settings", show),
        action("/endpoints/{endpoint}/settings", change, Capability.MANAGE_ENDPOINT),
        action("/endpoints/{endpoint}/delete", delete, Capability.MANAGE_ENDPOINT),
    ]
