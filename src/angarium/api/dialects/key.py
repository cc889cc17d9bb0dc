"""API keys on the wire: `Bearer key`, or `Basic` of `key:secret`, as the product's profile says.

A key that has a secret is shown as `Bearer key:secret` where keys are bearers.
"""

from __future__ import annotations

from starlette.requests import Request

from angarium.api.auth import services_of
from angarium.api.dialects.route import check_query
from angarium.core import canonical
from angarium.core.audit import ActorKind
from angarium.core.errors import NotAuthenticated
from angarium.core.product import Product
from angarium.service import audit
from angarium.service.api_key import name_of
from angarium.store.api_key import ApiKey


async def key_of(request: Request, product: Product) -> ApiKey:
    """The key that the request shows. Raises NotAuthenticated, also for another product's key, and then
    Invalid for a query that the route does not take."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    given = given.strip()
    if scheme.lower() != product.profile.management.scheme or not given:
        raise NotAuthenticated()
    services = services_of(request)
    with services.login_throttle.watching("api-key"):
        key, secret = _parts(scheme.lower(), given)
        found = await services.api_key.verify(key, secret)
        if await services.product.of(found.org_id) is not product:
            raise NotAuthenticated()
    audit.acting(ActorKind.API_KEY, name_of(found.id), org_id=found.org_id, app_id=found.app_id)
    check_query(request)
    return found


def _parts(scheme: str, given: str) -> tuple[str, str]:
    key, _, secret = given.partition(":")
    if scheme == "basic":
        try:
            key, _, secret = canonical.standard(given).decode().partition(":")
        except ValueError:
            raise NotAuthenticated() from None
        if not secret:
            raise NotAuthenticated()
    return key, secret
