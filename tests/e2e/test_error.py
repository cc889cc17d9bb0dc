"""Whatever the SDK's client asks, also what we do not have: it can read the answer."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest
import svix.api
from svix.api import Svix, SvixOptions
from svix.exceptions import HttpError, HTTPValidationError

from tests.e2e.conftest import Server


@pytest.fixture
def client(server: Server) -> Iterator[Svix]:
    # without retries: most answers here are 501, which the SDK asks for again after a pause
    client = Svix(server.token, SvixOptions(server_url=server.url, retry_schedule=[]))
    yield client
    client._httpx_client.close()


def calls(part: Any, path: str = "svix", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every method of the client and of its parts."""
    for name in dir(type(part)):
        if name.startswith("_"):
            continue
        if isinstance(getattr(type(part), name), property):
            yield from calls(getattr(part, name), f"{path}.{name}", depth + 1)
        elif depth:
            yield f"{path}.{name}", getattr(part, name)


def arguments(method: Any) -> list[Any]:
    """An argument for each parameter that has no default: a word, or a model with nothing in it."""
    hints = typing.get_type_hints(method, vars(svix.api) | vars(svix.models))
    found: list[Any] = []
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.default is not parameter.empty:
            continue
        kind = hints[name]
        if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
            found.append(kind.model_construct())
        else:
            found.append("nothing" if kind is str else [])
    return found


@pytest.mark.filterwarnings("ignore:Call to deprecated method:DeprecationWarning")
def test_every_method_of_the_client_gets_an_answer_it_can_read(client: Svix) -> None:
    outcomes: dict[str, int] = {}
    for name, method in calls(client):
        try:
            given = arguments(method)
        except NameError:  # a model that only type checkers see
            given = ["nothing"] * sum(
                one.default is one.empty for one in inspect.signature(method).parameters.values()
            )
        try:
            method(*given)
            outcomes[name] = 200
        except HTTPValidationError as error:
            outcomes[name] = error.status_code if error.detail else 0
        except HttpError as error:
            outcomes[name] = error.status_code if error.code and error.detail else 0
    assert len(outcomes) > 120
    assert set(outcomes.values()) <= {200, 400, 403, 404, 422, 501}, outcomes
    assert {404, 501} <= set(outcomes.values())
