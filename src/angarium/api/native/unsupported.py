"""Returns 501 with a link for operations that only Svix has, instead of 404 or 405.

`unsupported.txt` lists them. The router finds no route for them, so `answer_to` is asked when it found none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from angarium.api.auth import base_url, caller_of
from angarium.core.errors import AngariumError, Unsupported

PAGE: Final = "/docs/svix-operations.md"

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_INTRODUCTION: Final = """# Svix operations that Angarium does not support

They return 501 and the code `not_implemented`. A `*` stands for an id or a name. Angarium supports all other
operations of Svix's API.

"""


@cache
def operations() -> Mapping[str, tuple[str, ...]]:
    """The methods of each path."""
    text = files(__package__).joinpath("unsupported.txt").read_text()
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {path: tuple(methods) for path, *methods in lines}


@cache
def _paths(method: str) -> re.Pattern[str]:
    paths = (path for path, methods in operations().items() if method in methods)
    return re.compile("|".join(re.escape(path).replace(r"\*", "[^/]+") for path in paths) or "(?!)")


async def answer_to(request: Request) -> AngariumError | None:
    """What to answer to a request that has no route; None when it is no operation of Svix either."""
    if request.method not in _METHODS or _paths(request.method).fullmatch(request.url.path) is None:
        return None
    try:
        await caller_of(request)
    except AngariumError as error:
        return error
    return Unsupported(f"Angarium does not support this Svix operation. See {base_url(request)}{PAGE}")


def install(app: FastAPI) -> None:
    """Serve the page that lists them."""

    async def page(_: Request) -> Response:
        rows = (f"- `{path}`: {', '.join(methods)}\n" for path, methods in operations().items())
        return Response(_INTRODUCTION + "".join(rows), media_type="text/markdown")

    app.add_route(PAGE, page, methods=["GET"])
