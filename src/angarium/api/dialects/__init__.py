"""Dialects: the management APIs of products, each a module that makes a router for a product and a base path.

Which products are served, where and how is in their profiles; a dialect is a shape. Routes of the sandbox
make messages as the real product would, and are never there in production.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Final

from fastapi import APIRouter, FastAPI

from angarium.core.errors import SettingsError
from angarium.core.product import Product
from angarium.service.services import Services

_SHAPES: Final = ("bluum", "bluma", "bloom")


def install(app: FastAPI, services: Services, *, sandbox: bool) -> None:
    """Serve every product that has a dialect of its own at its base paths.

    Raises SettingsError when two of a kind want the same place, as only one could be reached, and when a
    dialect needs a package that is not installed.
    """
    taken: dict[tuple[str, str], str] = {}
    for product in services.product.all.values():
        management = product.profile.management
        if management.dialect not in _SHAPES:
            continue
        try:
            make = [_maker(management.dialect)]
        except ModuleNotFoundError as error:
            if error.name not in ("graphql", "strawberry"):
                raise
            raise SettingsError(
                f'the API of {product.name} is GraphQL, which needs: pip install "angarium[graphql]"'
            ) from error
        if sandbox and product.profile.scenarios:
            make.append(_maker("sandbox"))
        for base_path in management.base_paths:
            other = taken.setdefault((management.dialect, base_path), product.name)
            if other != product.name:
                raise SettingsError(f"{other} and {product.name} are both served at {base_path or '/'}")
            for router in make:
                app.router.routes.extend(router(product, base_path).routes)


def _maker(dialect: str) -> Callable[[Product, str], APIRouter]:
    found: Callable[[Product, str], APIRouter] = import_module(f"{__name__}.{dialect}").router
    return found
