"""Provisions organizations of a product.

It assigns the profile, writes the profile's event types, and creates an application and keys of the product's
own API. Every step can be repeated: existing data stays, and new event types of the profile are added.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from angarium.clock import Clock, datetime_at
from angarium.core.audit import AuditEvent
from angarium.core.errors import BadRequest, Conflict
from angarium.core.nouns import Application
from angarium.core.product import Product
from angarium.core.profile_table import EventTypeRule
from angarium.service import audit
from angarium.service.access import Access, Shown
from angarium.service.application import ApplicationDraft, Applications
from angarium.service.event_type import check_schemas
from angarium.service.organization_token import OrganizationTokens
from angarium.service.product import Products
from angarium.store import organization
from angarium.store.database import Database

SCHEMA_VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key of the product's own API that is not registered yet."""

    scope: str
    shown: Shown


class Provision:
    """Sets up organizations of products, and keeps their event types up to date."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        products: Products,
        applications: Applications,
        access: Access,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._database = database
        self._clock = clock
        self._products = products
        self._applications = applications
        self.access = access
        self.token = OrganizationTokens(database, clock, entropy)
        self._entropy = entropy

    def product(self, name: str) -> Product:
        """The product of this name. Raises NotFound."""
        return self._products.named(name)

    def draw_keys(self, product: Product, *, sandbox: bool) -> list[NewKey]:
        """Generate one key for each scope of the product; `install` registers them."""
        return [
            NewKey(scope, self._draw(product, sandbox=sandbox)) for scope in product.profile.management.scopes
        ]

    def _draw(self, product: Product, *, sandbox: bool, pair: bool = False) -> Shown:
        management = product.profile.management
        prefix = management.key_prefix.replace("{mode}", "test" if sandbox else "live")
        return self.access.draw(prefix, with_secret=pair or management.scheme == "basic")

    async def add_key(
        self, org_id: str, app_ref: str, *, scope: str | None, pair: bool = False, sandbox: bool = False
    ) -> Shown:
        """Add a key. Raises NotFound, or BadRequest for a scope that the product does not have."""
        product = await self._products.of(org_id)
        application = await self._applications.find(org_id, app_ref)
        scopes = product.profile.management.scopes
        scope = scope or next(iter(scopes), "")
        if scope not in scopes:
            known = f"Its scopes are {', '.join(scopes)}." if scopes else "It has no scopes."
            raise BadRequest(f"{product.name} has no scope {scope!r}. {known}")
        shown = self._draw(product, sandbox=sandbox, pair=pair)
        await self.access.register(
            shown, org_id=org_id, app_id=application.id, scope=scope, name=f"{application.name}, {scope}"
        )
        return shown

    async def install(
        self, org_id: str, profile: str, *, application: ApplicationDraft, keys: list[NewKey]
    ) -> Application:
        """Assign the product to the organization, and create an application with these keys.

        Raises NotFound for a profile that this server does not load, and Conflict when the organization has
        another.
        """
        product = await self._products.install(org_id, profile)
        if product.name != profile:
            raise Conflict(
                f"The organization already has the profile {product.name}, which cannot be changed."
            )
        await self._write_catalogue(product, org_id)
        made, _ = await self._applications.ensure(org_id, application.uid or application.name, application)
        for key in keys:
            await self.access.register(
                key.shown, org_id=org_id, app_id=made.id, scope=key.scope, name=f"{made.name}, {key.scope}"
            )
        return made

    async def refresh(self) -> None:
        """Write the profiles' event types to all organizations. Called at each start."""
        for product in self._products.all.values():
            await self._write_catalogue(product, None)

    async def _write_catalogue(self, product: Product, org_id: str | None) -> None:
        types = [_row(event) for event in product.profile.events]
        if types:
            now = datetime_at(self._clock.now())
            async with self._database.transaction() as connection:
                written = await organization.write_catalogue(connection, product.name, org_id, types, now)
                for owner, names in written.items():
                    said = {"eventTypes": sorted(names)}
                    audit_event = AuditEvent(
                        owner, None, "event_type.catalogue_written", product.name, None, said
                    )
                    await audit.record(connection, now.timestamp(), self._entropy, audit_event)


def _row(event: EventTypeRule) -> dict[str, Any]:
    schema = event.schema
    if event.example is not None:
        schema = {**(schema or {"type": "object"})}
        schema.setdefault("examples", [event.example])
    schemas = None if schema is None else {SCHEMA_VERSION: schema}
    check_schemas(schemas)
    return {
        "name": event.name,
        "description": event.description,
        "schemas": schemas,
        "group_name": event.group,
    }
