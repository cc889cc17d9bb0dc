"""Checks a token for every entry point: signature, kind, expiry and revocation, with throttled failures."""

from __future__ import annotations

from collections.abc import Callable

from angarium.core.claims import Claims
from angarium.core.errors import NotAuthenticated
from angarium.service.services import Services


async def admit(
    services: Services, kind: str, token: str, fits: Callable[[Claims], bool], *, cookie: str | None = None
) -> Claims:
    """The claims of a valid token for which `fits` is true.

    `kind` names it in the log, `cookie` is for the guard. Raises NotAuthenticated, Throttled after too
    many failures, and BadRequest for a subject that is neither an organization nor an application.
    """
    with services.login_throttle.watching(kind, cookie):
        claims = services.token.verify(token)
        if not fits(claims):
            raise NotAuthenticated()
        await services.token.check_live(claims)
    return claims
