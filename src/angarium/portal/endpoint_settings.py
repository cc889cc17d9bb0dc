"""Page of an endpoint's settings: changes them and deletes the endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.routing import Route

from angarium.core.claims import Capability
from angarium.core.errors import Invalid
from angarium.core.nouns import Endpoint, EventType
from angarium.core.url import split_credentials
from angarium.portal import event_choice
from angarium.portal.endpoint_form import BLANK_HEADERS, NAMED, EndpointForm
from angarium.portal.endpoint_page import found, native_ref, render
from angarium.portal.form import Form
from angarium.portal.route import action, page
from angarium.portal.visit import Visit
from angarium.service.listener import URL as LISTENER


async def show(visit: Visit) -> Response:
    """A form if the visitor may change the settings; otherwise a list of them."""
    endpoint = await found(visit)
    return await _shown(visit, endpoint, EndpointForm.of(endpoint), await event_choice.visible(visit))


async def change(visit: Visit, posted: Form) -> Response:
    """Saves all settings."""
    endpoint = await found(visit)
    types = await event_choice.visible(visit)
    unseen = await event_choice.hidden(visit, types, endpoint.event_types or ())
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
        return await _shown(visit, endpoint, form, types, status=422)
    return visit.go(visit.path("endpoints", visit.endpoint_ref(endpoint.id), "settings", said="saved"))


async def delete(visit: Visit, posted: Form) -> Response:
    """Deletes the endpoint if its host was typed."""
    endpoint = await found(visit)
    if posted.text("host").lower() != host_of(endpoint):
        fault = f"Type {host_of(endpoint)} to delete the endpoint."
        types = await event_choice.visible(visit)
        return await _shown(visit, endpoint, EndpointForm.of(endpoint), types, status=422, fault=fault)
    await visit.services.endpoint.delete(visit.app_id, native_ref(visit))
    return visit.go(visit.path("endpoints", said="deleted"))


def host_of(endpoint: Endpoint) -> str:
    """The host of its URL, typed to confirm the deletion."""
    return urlsplit(split_credentials(endpoint.url)[0]).hostname or endpoint.url


async def _shown(
    visit: Visit,
    endpoint: Endpoint,
    form: EndpointForm,
    types: Sequence[EventType],
    *,
    status: int = 200,
    **values: Any,
) -> Response:
    unseen = await event_choice.hidden(visit, types, endpoint.event_types or ())
    if form.event_types is not None:
        form.event_types = tuple(name for name in form.event_types if name not in unseen)
    return await render(
        visit,
        "endpoint_settings.html",
        endpoint,
        "settings",
        status=status,
        form=form,
        choice=event_choice.choice(types, form.event_types, visit.product.profile),
        named=visit.product.profile.management.dialect in NAMED,
        blanks=range(len(form.headers), len(form.headers) + BLANK_HEADERS),
        host=host_of(endpoint),
        listener=endpoint.url.startswith(LISTENER),
        **{"fault": None, **values},
    )


def routes() -> list[Route]:
    return [
        page("/endpoints/{endpoint}/settings", show),
        action("/endpoints/{endpoint}/settings", change, Capability.MANAGE_ENDPOINT),
        action("/endpoints/{endpoint}/delete", delete, Capability.MANAGE_ENDPOINT),
    ]
