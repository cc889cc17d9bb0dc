"""The schemes that have names, and the class to describe others with."""

from __future__ import annotations

from typing import Final

from angarium.receiver.errors import UnknownScheme
from angarium.receiver.event import Shape
from angarium.receiver.scheme.base import Scheme
from angarium.receiver.scheme.custom import Custom
from angarium.receiver.scheme.standard import Standard
from angarium.receiver.scheme.stripe import Stripe

STANDARD: Final = Standard()
SVIX: Final = Standard("svix", ("svix", "webhook"))
BLUUM: Final = Standard("bluum", ("webhook",))
BLUMA: Final = Custom(name="bluma", header="X-Bluma-Signature", prefix="sha256=")  # key: the whole secret
STRIPE: Final = Stripe()
GITHUB: Final = Custom(
    name="github",
    header="X-Hub-Signature-256",
    prefix="sha256=",
    id_header="X-GitHub-Delivery",
    type_header="X-GitHub-Event",
    action="action",
    shape=Shape(id=(), type=(), timestamp=(), data=None),
)
SCHEMES: Final[dict[str, Scheme]] = {
    scheme.name: scheme for scheme in (STANDARD, SVIX, BLUUM, BLUMA, STRIPE, GITHUB)
}


def find(scheme: object) -> Scheme:
    """The scheme of that name, or the scheme itself."""
    if isinstance(scheme, Scheme):
        return scheme
    if isinstance(scheme, str) and scheme in SCHEMES:
        return SCHEMES[scheme]
    raise UnknownScheme(f"a scheme is one of {', '.join(SCHEMES)}, or an instance of Custom")


__all__ = ["SCHEMES", "Custom", "Scheme", "find"]
