"""Writes error responses: `{"code", "detail"}`, or for 422 `{"detail": [{"loc", "msg", "type"}]}`.

`loc` is a list of texts, as Svix's SDKs declare it: `["body", "channels", "[0]"]` is the first channel.

`core/error_text.py` has the statuses and texts. Any other exception becomes a 500 without internal details.
Operations that only Svix has (`unsupported.txt`) get 501 with a link, not 404 or 405.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from angarium.api.auth import base_url, caller_of
from angarium.core import errors
from angarium.core.error_text import TEXTS
from angarium.core.errors import AngariumError, FaultType, FieldError, Invalid, Unsupported

UNSUPPORTED_PAGE: Final = "/docs/svix-operations.md"
INTERNAL: Final = {"code": "internal_error", "detail": TEXTS["internal_error"].detail}


def status_of(error: AngariumError) -> int:
    """The HTTP status of an error; 500 if its code has no text."""
    text = TEXTS.get(type(error).code)
    return 500 if text is None else text.status


def body_of(error: AngariumError) -> dict[str, Any]:
    """The JSON body of an error."""
    if isinstance(error, Invalid):
        return {"detail": [fault_of(fault) for fault in error.faults]}
    if isinstance(error, errors.StoreUnavailable):
        # the detail of StoreUnavailable names hosts and databases
        return {"code": error.wire_code, "detail": errors.StoreUnavailable().detail}
    if status_of(error) == 500:
        return INTERNAL
    if isinstance(error, errors.MessageLimitReached):
        return {"code": error.wire_code, "detail": error.detail, **error.facts}
    return {"code": error.wire_code, "detail": error.detail}


def fault_of(fault: FieldError) -> dict[str, Any]:
    loc = [f"[{part}]" if isinstance(part, int) else part for part in fault.loc]
    return {"loc": loc, "msg": fault.msg, "type": fault.type}


def faults_of(found: Iterable[Mapping[str, Any]], *place: str | int) -> list[FieldError]:
    """Pydantic's errors as faults; `place` is where the value is that it looked at."""
    return [
        FieldError(
            (*place, *one["loc"]), str(one["msg"]).removeprefix("Value error, "), _type_of(str(one["type"]))
        )
        for one in found
    ]


def _type_of(kind: str) -> FaultType:
    if kind == "missing":
        return "value_error.missing"
    if kind == "json_invalid":
        return "value_error.jsondecode"
    # int_type: a string instead of a number in a body; int_parsing: letters instead of a number in a query
    numbers = ("int_parsing", "float_parsing", "bool_parsing")
    return "type_error" if kind.endswith("_type") or kind in numbers else "value_error"


def answer(error: AngariumError) -> Response:
    """The whole answer to an error; for routes that answer several errors at once too."""
    status = status_of(error)
    headers: dict[str, str] = {}
    if isinstance(error, errors.Overloaded | errors.TooManyFailures):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    elif status == 503:
        headers["retry-after"] = "1"
    elif status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(body_of(error), status, headers)


async def _angarium(_: Request, error: Exception) -> Response:
    assert isinstance(error, AngariumError)
    return answer(error)


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return answer(Invalid(*faults_of(error.errors())))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in (404, 405) and (known := await _unsupported(request)) is not None:
        return answer(known)
    if error.status_code == 404:
        return JSONResponse({"code": "not_found", "detail": "No resource exists at this path."}, 404)
    code = HTTPStatus(error.status_code).name.lower()
    return JSONResponse({"code": code, "detail": error.detail}, error.status_code, error.headers)


@cache
def unsupported_operations() -> Mapping[str, tuple[str, ...]]:
    """The methods of each path that only Svix has. A `*` stands for an id or a name."""
    text = files(__package__).joinpath("unsupported.txt").read_text()
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {path: tuple(methods) for path, *methods in lines}


@lru_cache(maxsize=16)
def _unsupported_paths(method: str) -> re.Pattern[str]:
    paths = (path for path, methods in unsupported_operations().items() if method in methods)
    return re.compile("|".join(re.escape(path).replace(r"\*", "[^/]+") for path in paths) or "(?!)")


async def _unsupported(request: Request) -> AngariumError | None:
    """The error of a request without a route; None when it is no operation of Svix either."""
    if _unsupported_paths(request.method).fullmatch(request.url.path) is None:
        return None
    try:
        await caller_of(request)
    except AngariumError as error:
        return error
    page = f"{base_url(request)}{UNSUPPORTED_PAGE}"
    return Unsupported(page=page)


async def _unexpected(_: Request, __: Exception) -> Response:
    return JSONResponse(INTERNAL, 500)


def install(app: FastAPI) -> None:
    """Register the handlers for all errors."""
    app.add_exception_handler(AngariumError, _angarium)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
