"""Generates receiver code for an endpoint, with its path, headers and signature scheme.

A product's own header that signs only the body is verified with the standard library; otherwise the code uses
a Standard Webhooks library. The tests run the samples.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import unquote, urlsplit

import jinja2
from starlette.responses import Response
from starlette.routing import Route

from angarium.core.product import Product
from angarium.core.profile import Profile
from angarium.core.profile_table import SigningTable
from angarium.core.signature import PRIVATE
from angarium.portal.customer.endpoint import found, render
from angarium.portal.kit.route import page
from angarium.portal.kit.visit import Visit

DEFAULT_PATH: Final = "/webhooks"
_PLAIN_PATH: Final = re.compile(r"/[A-Za-z0-9_./~-]{0,200}")


@dataclass(frozen=True, slots=True)
class Framework:
    """`packages`: what to install besides the verification library."""

    title: str
    template: str
    packages: str

    @property
    def python(self) -> bool:
        return self.template.endswith(".py.txt")


FRAMEWORKS: Final = {
    "flask": Framework("Flask", "flask.py.txt", "flask"),
    "fastapi": Framework("FastAPI", "fastapi.py.txt", "fastapi uvicorn"),
    "django": Framework("Django", "django.py.txt", "django"),
    "express": Framework("Express", "express.mjs.txt", "express"),
}


@dataclass(frozen=True, slots=True)
class Library:
    """A verification library, by its name in each language."""

    package: str
    python: str
    node: str


_STANDARD: Final = Library("standardwebhooks", "standardwebhooks", "standardwebhooks")
_SVIX: Final = Library("svix", "svix.webhooks", "svix")


@dataclass(frozen=True, slots=True)
class Sample:
    """A program and the command that installs its dependencies."""

    code: str
    install: str


def sample(product: Product, url: str, name: str) -> Sample:
    """The sample for a framework by its name in FRAMEWORKS."""
    framework = FRAMEWORKS[name]
    profile = product.profile
    own = _own(profile)
    library = None if own else _STANDARD if _has(profile, "webhook") else _SVIX
    before, _, after = (own.format if own else "{signature}").partition("{signature}")
    code = (
        _environment()
        .get_template(framework.template)
        .render(
            title=profile.title,
            path=path_of(url),
            own=own,
            library=library,
            digest=(own.algorithm.removeprefix("hmac-") if own else ""),
            before=f"{json.dumps(before)} + " if before else "",
            after=f" + {json.dumps(after)}" if after else "",
            kind=_kind(profile),
            id_header=_id_header(profile),
            max_body=product.max_body,
        )
    )
    packages = framework.packages + (f" {library.package}" if library else "")
    return Sample(code, f"{'pip' if framework.python else 'npm'} install {packages}")


def path_of(url: str) -> str:
    """The path for the route; a default if a framework could read the path as a pattern."""
    path = unquote(urlsplit(url).path)
    return path if _PLAIN_PATH.fullmatch(path) and path != "/" else DEFAULT_PATH


def _own(profile: Profile) -> SigningTable | None:
    """The product's own scheme that signs only the body."""
    return next(
        (
            scheme
            for scheme in profile.signing
            if scheme.header is not None and scheme.signed == "{body}" and "{timestamp}" not in scheme.format
        ),
        None,
    )


def _has(profile: Profile, family: str) -> bool:
    return any(scheme.family == family for scheme in profile.signing)


def _kind(profile: Profile) -> str:
    """The expression that reads the event type; without an envelope it is the whole event."""
    key = next((key for key, value in profile.envelope.items() if value == "{type}"), None)
    return "event" if key is None else f"event[{json.dumps(key)}]"


def _id_header(profile: Profile) -> str:
    """The header that holds the message's id."""
    if _own(profile) is None or not profile.delivery.headers:
        return "webhook-id" if _has(profile, "webhook") else "svix-id"
    named = (name for name, value in profile.delivery.headers.items() if value == "{id}")
    return next(named, "webhook-id")


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("angarium.portal", "code"),
        autoescape=False,  # noqa: S701 (programs, not HTML; pages escape them)
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


async def show(visit: Visit) -> Response:
    """The sample for the framework named by `in`."""
    endpoint = await found(visit)
    name = visit.request.query_params.get("in", "")
    name = name if name in FRAMEWORKS else next(iter(FRAMEWORKS))
    return await render(
        visit,
        "customer/endpoint_code.html",
        endpoint,
        "code",
        frameworks=FRAMEWORKS,
        chosen=name,
        sample=sample(visit.product, endpoint.url, name),
        path=path_of(endpoint.url),
        asymmetric=any(key.secret.startswith(PRIVATE) for key in endpoint.keys),
    )


def routes() -> list[Route]:
    return [page("/endpoints/{endpoint}/code", show)]
