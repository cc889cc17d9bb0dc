"""Page with receiver code for an endpoint."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from angarium.core.signature import PRIVATE
from angarium.portal import code_sample
from angarium.portal.endpoint_page import found, render
from angarium.portal.route import page
from angarium.portal.visit import Visit


async def show(visit: Visit) -> Response:
    """The sample for the framework named by `in`."""
    endpoint = await found(visit)
    name = visit.request.query_params.get("in", "")
    name = name if name in code_sample.FRAMEWORKS else next(iter(code_sample.FRAMEWORKS))
    return await render(
        visit,
        "endpoint_code.html",
        endpoint,
        "code",
        frameworks=code_sample.FRAMEWORKS,
        chosen=name,
        sample=code_sample.sample(visit.product, endpoint.url, name),
        path=code_sample.path_of(endpoint.url),
        asymmetric=any(key.secret.startswith(PRIVATE) for key in endpoint.keys),
    )


def routes() -> list[Route]:
    return [page("/endpoints/{endpoint}/code", show)]
