"""Prepares the products of `angarium dev`: an organization, an application and stable keys for each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from angarium.cli.kept import kept, new_organization
from angarium.core import ids
from angarium.core.product import STANDARD, Product
from angarium.settings import Settings

if TYPE_CHECKING:
    from angarium.service.product import Provision, ScopedKey

APPLICATION: Final = "sandbox"  # the name and uid of the application that the keys are for


@dataclass(frozen=True, slots=True)
class ReadyProduct:
    """A product that is ready to use. `shown`: the credentials of its customer."""

    product: Product
    org_id: str
    app_id: str
    shown: dict[str, str] = field(repr=False)

    def line(self, url: str, token: str) -> dict[str, str]:
        """Its entry in the JSON line."""
        match self.product.profile.management.dialect:
            case "native":
                return {
                    "base_url": url,
                    "organization": self.org_id,
                    "application": self.app_id,
                    "token": token,
                }
            case "bloom":
                return {"graphql_url": f"{url}{self.product.profile.management.base_paths[0]}", **self.shown}
            case _:
                return {"base_url": url, **self.shown}


async def ready(
    settings: Settings, provision: Provision, products: Mapping[str, Product]
) -> dict[str, ReadyProduct]:
    """Prepares the organization of every product. Idempotent."""
    directory = settings.data_dir.expanduser()
    found = {}
    for name, product in products.items():
        if name != STANDARD:
            found[name] = await _ready(directory, provision, product)
    return found


async def _ready(directory: Path, provision: Provision, product: Product) -> ReadyProduct:
    from angarium.service.application import ApplicationDraft

    scopes = product.profile.management.scopes
    path = directory / f"product-{product.name}"
    known = _read(path, provision, product)
    if any(scope not in known["keys"] for scope in scopes):  # the profile has a new scope
        drawn = _draw(provision, product)
        known["keys"] = drawn["keys"] | known["keys"]
        path.unlink()
        kept(path, lambda: json.dumps(known))
    keys = [_key(scope, known["keys"][scope]) for scope in scopes]
    application = ApplicationDraft(APPLICATION, APPLICATION)
    made = await provision.install(known["organization"], product.name, application=application, keys=keys)
    app_id = ids.text(ids.APPLICATION, made.id)
    return ReadyProduct(product, known["organization"], app_id, shown(product, keys))


def _read(path: Path, provision: Provision, product: Product) -> dict[str, Any]:
    known: dict[str, Any] = json.loads(kept(path, lambda: json.dumps(_draw(provision, product))))
    return known


def _draw(provision: Provision, product: Product) -> dict[str, Any]:
    keys = provision.draw_keys(product, sandbox=True)
    return {
        "organization": new_organization(),
        "keys": {new.scope: [new.shown.key, new.shown.secret] for new in keys},
    }


def _key(scope: str, pair: list[str]) -> ScopedKey:
    from angarium.service.api_key import NewApiKey
    from angarium.service.product import ScopedKey

    return ScopedKey(scope, NewApiKey(*pair))


def shown(product: Product, keys: list[ScopedKey]) -> dict[str, str]:
    """Keys by the names that the product uses: `api_key` for the first scope, then by scope."""
    management = product.profile.management
    named: dict[str, str] = {}
    for place, new in enumerate(keys):
        stem = new.scope.rpartition(":")[0] or new.scope
        if management.dialect == "bloom":
            named[f"{stem}_token"] = new.shown.key
            continue
        stem = stem if place else "api"
        named[f"{stem}_key"] = new.shown.key
        if new.shown.secret:
            named[f"{stem}_secret"] = new.shown.secret
    return named
