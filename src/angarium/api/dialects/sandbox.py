"""Serves the sandbox: the scenarios of a profile, which create messages as the real product would.

Authentication and errors are those of the product's dialect. Only development servers have a sandbox.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from importlib import import_module

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from angarium.api.auth import services_of
from angarium.api.dialects.key import key_of
from angarium.api.dialects.route import json_object
from angarium.api.query import QueryRoute
from angarium.core.errors import NotAllowed
from angarium.core.product import Product
from angarium.core.profile_scenario import Scenario
from angarium.service.sandbox import play


def router(product: Product, base_path: str, entropy: Callable[[int], bytes] = os.urandom) -> APIRouter:
    """One route for each scenario of the product."""
    dialect = import_module(f"angarium.api.dialects.{product.profile.management.dialect}")
    route_class: type[QueryRoute] = getattr(dialect, "Route", QueryRoute)
    made = APIRouter(prefix=base_path, route_class=route_class, include_in_schema=False)
    for scenario in product.profile.scenarios:
        made.add_api_route(
            scenario.path, _route(product, scenario, entropy), methods=[scenario.method], response_model=None
        )
    return made


def _route(
    product: Product, scenario: Scenario, entropy: Callable[[int], bytes]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        key = await key_of(request, product)
        if key.app_id is None:
            raise NotAllowed("This key has no application to send to.")
        body = await play(
            services_of(request),
            scenario,
            org_id=key.org_id,
            app_id=key.app_id,
            body=await json_object(request),
            path={name: str(value) for name, value in request.path_params.items()},
            entropy=entropy,
        )
        return JSONResponse(body, scenario.status)

    return answer
