"""What is made with a credential ends with it: revoked, logged out, expired, or expired with all others."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from angarium.core import ids
from angarium.core.claims import Claims
from angarium.core.errors import CredentialExpired
from angarium.core.profile_table import Portal
from angarium.core.token_key import TokenKey
from angarium.service.api_key import name_of
from angarium.service.application import ApplicationDraft
from angarium.service.login import PortalLink, PortalLinks
from angarium.service.token import LEEWAY, LOOK_EVERY, SESSION_LIFETIME, VIEW_LIFETIME, Tokens
from angarium.store.database import Database
from tests.api.conftest import JWT_SECRET, Api, Backend


@dataclass
class Family:
    """An organization's token and an API key, and everything that can be made with them."""

    token: str
    key_id: str
    made: dict[str, Claims]
    link: PortalLink
    app_id: str


ROOTS = {
    "token": {"link", "session", "operator", "look"},
    "key": {"link of the key", "session of the key"},
    "link": {"session"},
    "operator": {"look"},
}
"""What each credential ends beside itself."""


async def _family(api: Api, session_id: str | None = None) -> Family:
    services = api.services
    tokens, links = services.token, services.portal_link
    token = tokens.for_organization(api.org_id)
    origin = tokens.verify(token).origin
    application = await services.application.create(api.org_id, ApplicationDraft("Customer"))
    shown = services.api_key.draw("sk_", with_secret=False)
    await services.api_key.register(
        shown, org_id=api.org_id, app_id=application.id, scope="organization", name="k"
    )
    key = await services.api_key.verify(shown.key)
    link = await links.give(
        api.org_id, application.id, Portal(link_lifetime="7d"), session_id=session_id, origin=origin
    )
    of_key = await links.give(api.org_id, application.id, Portal(), origin=key.origin)
    operator = (await links.operate(token)).claims
    made = {
        "token": tokens.verify(token),
        "link": tokens.verify(link.token),
        "session": (await links.open(link.key)).claims,
        "link of the key": tokens.verify(of_key.token),
        "session of the key": (await links.open(of_key.key)).claims,
        "operator": operator,
        "look": (await links.operator_view(operator, application.id)).claims,
    }
    return Family(token, name_of(key.id), made, link, ids.text(ids.APPLICATION, application.id))


async def _alive(tokens: Tokens, family: Family) -> set[str]:
    found = set()
    for name, claims in family.made.items():
        try:
            await tokens.check_live(claims)
        except CredentialExpired:
            continue
        found.add(name)
    return found


async def _revoke_token_by_id(api: Api, family: Family) -> None:
    name = family.made["token"].name
    (known,) = [one for one in (await api.get("/auth/credential"))["data"] if one["beginning"] == name]
    await api.post("/auth/credential/revoke", {"id": known["id"]}, status=204)


async def _revoke_token(api: Api, family: Family) -> None:
    await api.post("/auth/credential/revoke", {"token": family.token}, status=204)


async def _revoke_key(api: Api, family: Family) -> None:
    await api.post("/auth/credential/revoke", {"id": family.key_id}, status=204)


async def _revoke_link(api: Api, family: Family) -> None:
    await api.post("/auth/credential/revoke", {"token": family.link.token}, status=204)


async def _log_out_of_link(api: Api, family: Family) -> None:
    holder = Api(api.client, api.services, api.org_id, family.link.token)
    await holder.post("/auth/logout", status=204)


async def _log_out_operator(api: Api, family: Family) -> None:
    await api.services.token.revoke(family.made["operator"])


@pytest.mark.parametrize(
    ("end", "root"),
    [
        (_revoke_token_by_id, "token"),
        (_revoke_token, "token"),
        (_revoke_key, "key"),
        (_revoke_link, "link"),
        (_log_out_of_link, "link"),
        (_log_out_operator, "operator"),
    ],
)
async def test_derived_credentials_are_revoked_with_their_parent_on_every_server(
    api: Api,
    backend: Backend,
    database: Database,
    end: Callable[[Api, Family], Awaitable[None]],
    root: str,
) -> None:
    elsewhere = Tokens(database, backend.clock, os.urandom, TokenKey.of(JWT_SECRET))
    mine, neighbours = await _family(api), await _family(api)
    backend.clock.stop()
    for tokens in (api.services.token, elsewhere):
        assert await _alive(tokens, mine) == mine.made.keys()
    await end(api, mine)
    backend.clock.ahead += LOOK_EVERY
    ended = ROOTS[root] | ({root} & mine.made.keys())
    for tokens in (api.services.token, elsewhere):
        assert await _alive(tokens, mine) == mine.made.keys() - ended
        assert await _alive(tokens, neighbours) == neighbours.made.keys()
    if "link" in ended:
        with pytest.raises(CredentialExpired):
            await PortalLinks(elsewhere).open(mine.link.key)


async def test_revoking_a_key_during_the_creation_of_a_link_revokes_the_link(api: Api) -> None:
    services = api.services
    application = await services.application.create(api.org_id, ApplicationDraft("Customer"))
    shown = services.api_key.draw("sk_", with_secret=False)
    await services.api_key.register(
        shown, org_id=api.org_id, app_id=application.id, scope="organization", name="k"
    )
    key = await services.api_key.verify(shown.key)
    await services.api_key.revoke(api.org_id, key.id)
    late = await services.portal_link.give(api.org_id, application.id, Portal(), origin=key.origin)
    with pytest.raises(CredentialExpired):
        await services.portal_link.open(late.key)


@pytest.mark.parametrize("only", [None, ["s1"]])
async def test_expiring_all_includes_credentials_created_until_then(
    api: Api, backend: Backend, only: list[str] | None
) -> None:
    """A session opened while expire-all is pending ends with its link, though it is younger."""
    tokens, links = api.services.token, api.services.portal_link
    family = await _family(api, session_id="s1")
    backend.clock.stop()
    backend.clock.ahead += 1
    body = {"expiry": 30} if only is None else {"expiry": 30, "sessionIds": only}
    await api.post(f"/auth/app/{family.app_id}/expire-all", body, status=204)
    backend.clock.ahead += 10
    family.made["late session"] = (await links.open(family.link.key)).claims
    app_id, origin = family.made["link"].app_id, family.made["token"].origin
    assert app_id is not None
    fresh = await links.give(api.org_id, app_id, Portal(), session_id="s1", origin=origin)
    assert await _alive(tokens, family) == family.made.keys()
    backend.clock.ahead += 20
    spared = {"token", "operator"}
    if only is not None:
        spared |= {"link of the key", "session of the key", "look"}
    assert await _alive(tokens, family) == spared
    await tokens.check_live((await links.open(fresh.key)).claims)


async def test_no_credential_outlives_its_parent(api: Api, backend: Backend) -> None:
    tokens, links = api.services.token, api.services.portal_link
    application = await api.services.application.create(api.org_id, ApplicationDraft("Customer"))
    backend.clock.stop()
    short = tokens.for_organization(api.org_id, lifetime=600)
    end = tokens.verify(short).expires_at
    mine = Api(api.client, api.services, api.org_id, short)
    backend.clock.ahead += 599
    place = f"/auth/app-portal-access/{ids.text(ids.APPLICATION, application.id)}"
    access = await mine.post(place, {}, status=200)
    backend.clock.ahead += LEEWAY / 2  # the token has expired, and is still taken for the sake of clocks
    late = await mine.post(place, {}, status=200)
    made = [tokens.verify(one["token"]) for one in (access, late)]
    sessions = [await links.open(one["url"].partition("#key=")[2]) for one in (access, late)]
    operator = (await links.operate(short)).claims
    made += [
        operator,
        (await links.operator_view(operator, application.id)).claims,
        *(one.claims for one in sessions),
    ]
    assert [one.expires_at for one in made] == [end] * len(made)
    backend.clock.ahead += LEEWAY / 2 + 2
    for claims in made:
        with pytest.raises(CredentialExpired):
            await tokens.check_live(claims)


async def test_a_credential_with_a_long_lived_parent_has_its_own_lifetime(api: Api, backend: Backend) -> None:
    backend.clock.stop()
    family, now = await _family(api), int(backend.clock.now())
    lifetimes = {name: claims.expires_at - now for name, claims in family.made.items()}
    assert lifetimes["link"] == 604800
    assert lifetimes["session"] == lifetimes["operator"] == SESSION_LIFETIME
    assert lifetimes["look"] == VIEW_LIFETIME


@pytest.mark.parametrize("origins", [{}, "a", ["0" * 63], ["0" * 64, 1], ["A" * 64], ["0" * 64] * 5, [None]])
async def test_unreadable_parent_credentials_are_refused(api: Api, origins: object) -> None:
    app = await api.application()
    signed = TokenKey.of(JWT_SECRET).sign({"sub": app, "org": api.org_id, "origins": origins})
    holder = Api(api.client, api.services, api.org_id, signed)
    await holder.get(f"/app/{app}/endpoint", status=401)


async def test_a_listener_that_waits_gets_nothing_after_its_token_was_revoked(
    api: Api, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await api.application()
    holder = api.as_application(app)
    listener = (await holder.post(f"/app/{app}/listener", {"name": "laptop"}, status=200))["id"]
    claims, wait = api.services.token.verify(holder.token), backend.clock.wait

    async def revoked_meanwhile(event: object, until: float) -> None:
        await api.services.token.revoke(claims)
        await api.post(f"/app/{app}/msg", {"eventType": "a.b", "payload": {}}, status=202)

    monkeypatch.setattr(backend.clock, "wait", revoked_meanwhile)
    await holder.get(f"/app/{app}/listener/{listener}/fetch", wait=20, status=401)
    monkeypatch.setattr(backend.clock, "wait", wait)
    owed = await api.get(f"/app/{app}/listener/{listener}/fetch")
    assert len(owed["data"]) == 1
