"""Page of an endpoint's secret: shows it as the profile allows, replaces and activates it."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from angarium.core.claims import Capability
from angarium.core.errors import NotAllowed
from angarium.core.nouns import Endpoint, SigningKey
from angarium.core.signature import PRIVATE, public_form
from angarium.portal.customer.endpoint import found, native_ref, render
from angarium.portal.kit.form import Form
from angarium.portal.kit.route import action, page
from angarium.portal.kit.text import t
from angarium.portal.kit.visit import Visit
from angarium.service.endpoint_field import in_force, pending


async def show(visit: Visit) -> Response:
    """The available actions, without the secret."""
    return await _shown(visit, await found(visit))


async def reveal(visit: Visit, _: Form) -> Response:
    """Shows the active secret, and the new one if it is not active yet."""
    if visit.product.profile.secrets.display == "once":
        raise NotAllowed(t("secret.only_once"))
    endpoint = await visit.services.endpoint.reveal_secret(visit.app_id, native_ref(visit))
    return await _shown(
        visit,
        endpoint,
        current=in_force(endpoint.keys, visit.now),
        new=pending(endpoint.keys, visit.now),
    )


async def rotate(visit: Visit, posted: Form) -> Response:
    """Replaces the secret, at once or with an overlap."""
    if posted.text("grace") == "none":
        asked = visit.question(
            posted,
            heading=t("secret.revoke_question"),
            happens=t("secret.revoke_happens"),
            button=t("secret.replace"),
            back=visit.path("endpoints", visit.endpoint_ref(visit.endpoint_id()), "secret"),
            section="endpoints",
        )
        if asked is not None:
            return asked
    rule = visit.product.profile.secrets
    key = await visit.services.endpoint.rotate_secret(
        visit.app_id,
        native_ref(visit),
        None,
        0.0 if posted.text("grace") == "none" else rule.overlap_seconds,
        two_phase=rule.rotation == "two_phase",
    )
    if not visit.may(Capability.VIEW_SECRET):
        ref = visit.endpoint_ref(visit.endpoint_id())
        return visit.go(visit.path("endpoints", ref, "secret", done="rotated"))
    return await _shown(visit, await found(visit), new=key, made=True)


async def activate(visit: Visit, _: Form) -> Response:
    """Activates the new secret."""
    await visit.services.endpoint.activate_secret(visit.app_id, native_ref(visit))
    ref = visit.endpoint_ref(visit.endpoint_id())
    return visit.go(visit.path("endpoints", ref, "secret", done="activated"))


async def _shown(
    visit: Visit,
    endpoint: Endpoint,
    *,
    current: SigningKey | None = None,
    new: SigningKey | None = None,
    made: bool = False,
) -> Response:
    now = visit.services.clock.now()  # later than visit.now: the secret may have been created in this request
    rule = visit.product.profile.secrets
    waiting = pending(endpoint.keys, now)
    force = in_force(endpoint.keys, now)
    old = [key for key in endpoint.keys if key.expires_at is not None and key.expires_at > now]
    return await render(
        visit,
        "customer/endpoint_secret.html",
        endpoint,
        "secret",
        rule=rule,
        current=current and public_form(current.secret),
        new=new and public_form(new.secret),
        made=made,
        waiting=waiting,
        old=[key for key in old if key is not force] if waiting else old,
        until=old[0].expires_at if old else None,
        asymmetric=force.secret.startswith(PRIVATE),
    )


def routes() -> list[Route]:
    path = "/endpoints/{endpoint}/secret"
    return [
        page(path, show),
        action(path, reveal, Capability.VIEW_SECRET),
        action(f"{path}/rotate", rotate, Capability.MANAGE_SECRET),
        action(f"{path}/activate", activate, Capability.MANAGE_SECRET),
    ]
