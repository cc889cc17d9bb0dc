"""Looks up the products of organizations, and provisions organizations of a product.

Provisioning assigns the profile, writes the profile's event types, and creates an application and keys of the
product's own API. Every step can be repeated: existing data stays, and new event types of the profile are
added.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from angarium.clock import Clock, datetime_at
from angarium.core.errors import BadRequest, Conflict, Invalid, NotFound
from angarium.core.nouns import MAX_NAME, Application, check_text
from angarium.core.product import STANDARD, Product
from angarium.core.profile_table import EventTypeRule
from angarium.service.api_key import ApiKeys, NewApiKey
from angarium.service.application import ApplicationDraft, Applications
from angarium.service.event_type import VERSION, check_schemas
from angarium.service.use_case import Subject, UseCase
from angarium.store import organization
from angarium.store.api_key import ApiKey
from angarium.store.connection import Connection
from angarium.store.database import Database

UNSURE: Final = 5.0  # seconds for which a missing row is cached
MAX_KNOWN: Final = 10_000


class Products(UseCase):
    """The products that this server loads, by name, and the organizations that have them.

    An organization's profile never changes, so it is looked up once. An organization without one can still
    get one.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        products: Mapping[str, Product],
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        super().__init__(database, clock, entropy)
        self._products = products
        self._known: dict[str, Product] = {}
        self._none_until: dict[str, float] = {}
        self._asking = asyncio.Lock()

    @property
    def all(self) -> Mapping[str, Product]:
        return self._products

    def named(self, name: str) -> Product:
        """Raises NotFound for a profile that this server does not load."""
        product = self._products.get(name)
        if product is None:
            raise NotFound(f"This server does not load a profile named {name}.")
        return product

    def known(self, org_id: str) -> Product | None:
        """The organization's product, if it is cached."""
        product = self._known.get(org_id)
        if product is None and self._none_until.get(org_id, 0.0) > self._clock.steady():
            return self._products[STANDARD]
        return product

    async def of(self, org_id: str, held: Connection | None = None) -> Product:
        """The organization's product. `held`: the connection that the caller has, if any."""
        if (product := self.known(org_id)) is not None:
            return product
        if held is not None:
            # Without the lock: the task that has it may be waiting for a connection, such as this one.
            return await self._ask(org_id, held)
        async with self._asking:
            if (product := self.known(org_id)) is not None:
                return product  # looked up concurrently
            async with self._database.connection() as connection:
                return await self._ask(org_id, connection)

    async def _ask(self, org_id: str, connection: Connection) -> Product:
        name = await organization.profile_of(connection, org_id)
        if len(self._known) + len(self._none_until) > MAX_KNOWN:
            self._known.clear()
            self._none_until.clear()
        if name is None:
            self._none_until[org_id] = self._clock.steady() + UNSURE
            return self._products[STANDARD]
        product = self._known[org_id] = self.named(name)
        return product

    async def install(self, org_id: str, name: str) -> Product:
        """Assign the product to the organization, unless it already has one."""
        self.named(name)
        async with self._database.transaction() as connection:
            now = self._clock.now()
            if await organization.create(connection, org_id, name, datetime_at(now)):
                await self._record(connection, "organization.profile_given", Subject(org_id, None, name))
        self._none_until.pop(org_id, None)
        return await self.of(org_id)


@dataclass(frozen=True, slots=True)
class ScopedKey:
    """A key of the product's own API that is not registered yet."""

    scope: str
    shown: NewApiKey


class Provision(UseCase):
    """Sets up organizations of products, and keeps their event types up to date."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        products: Products,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        super().__init__(database, clock, entropy)
        self.products = products
        self._applications = Applications(database, clock, entropy)
        self._api_keys = ApiKeys(database, clock, entropy)

    def draw_keys(self, product: Product, *, sandbox: bool) -> list[ScopedKey]:
        """Generate one key for each scope of the product; `install` registers them."""
        return [
            ScopedKey(scope, self._draw(product, sandbox=sandbox))
            for scope in product.profile.management.scopes
        ]

    def _draw(self, product: Product, *, sandbox: bool, pair: bool = False) -> NewApiKey:
        management = product.profile.management
        prefix = management.key_prefix.replace("{mode}", "test" if sandbox else "live")
        return self._api_keys.draw(prefix, with_secret=pair or management.scheme == "basic")

    async def add_key(
        self,
        org_id: str,
        app_ref: str,
        name: str | None = None,
        *,
        scope: str | None = None,
        pair: bool = False,
        sandbox: bool = False,
    ) -> tuple[NewApiKey, ApiKey]:
        """Add a key with a name that no other active key of the application has. None: one is chosen.

        Raises NotFound, Invalid, Conflict if the name is taken, or BadRequest for a scope that the product
        does not have.
        """
        if name is not None:
            check_text("name", name, MAX_NAME)
            if not name:
                raise Invalid.field("name", "Must not be empty.")
        product = await self.products.of(org_id)
        application = await self._applications.find(org_id, app_ref)
        scopes = product.profile.management.scopes
        scope = scope or next(iter(scopes), "")
        if scope not in scopes:
            known = f"Its scopes are {', '.join(scopes)}." if scopes else "It has no scopes."
            raise BadRequest(f"{product.name} has no scope {scope!r}. {known}")
        shown = self._draw(product, sandbox=sandbox, pair=pair)
        return shown, await self._register(application, ScopedKey(scope, shown), name)

    async def install(
        self, org_id: str, profile: str, *, application: ApplicationDraft, keys: list[ScopedKey]
    ) -> Application:
        """Assign the product to the organization, and create an application with these keys.

        Raises NotFound for a profile that this server does not load, and Conflict when the organization has
        another.
        """
        await self.assign(org_id, profile)
        made, _ = await self._applications.ensure(org_id, application.uid or application.name, application)
        for key in keys:
            await self._register(made, key)
        return made

    async def _register(self, application: Application, key: ScopedKey, name: str | None = None) -> ApiKey:
        return await self._api_keys.register(
            key.shown,
            org_id=application.org_id,
            app_id=application.id,
            scope=key.scope,
            name=f"{application.name}, {key.scope}" if name is None else name,
            unique=name is not None,
        )

    async def assign(self, org_id: str, profile: str) -> Product:
        """Assign the product to an organization, and write its event types.

        Raises NotFound for a profile that this server does not load, and Conflict when the organization has
        another.
        """
        product = await self.products.install(org_id, profile)
        if product.name != profile:
            raise Conflict(
                f"The organization already has the profile {product.name}, which cannot be changed."
            )
        await self._write_catalogue(product, org_id)
        return product

    async def refresh(self) -> None:
        """Write the profiles' event types to all organizations. Called at each start."""
        for product in self.products.all.values():
            await self._write_catalogue(product, None)

    async def _write_catalogue(self, product: Product, org_id: str | None) -> None:
        types = [_row(event) for event in product.profile.events]
        if types:
            now = self._now()
            async with self._database.transaction() as connection:
                written = await organization.write_catalogue(connection, product.name, org_id, types, now)
                for owner, names in written.items():
                    said = {"eventTypes": sorted(names)}
                    subject = Subject(owner, None, product.name)
                    await self._record(connection, "event_type.catalogue_written", subject, after=said)


def _row(event: EventTypeRule) -> dict[str, Any]:
    schema = event.schema
    if event.example is not None:
        schema = {**(schema or {"type": "object"})}
        schema.setdefault("examples", [event.example])
    schemas = None if schema is None else {VERSION: schema}
    check_schemas(schemas)
    return {
        "name": event.name,
        "description": event.description,
        "schemas": schemas,
        "group_name": event.group,
    }
