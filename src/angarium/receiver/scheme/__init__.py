"""Signature schemes by name: those defined here, and those of the profiles that ship with Angarium.

`Custom` describes others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from angarium.receiver.errors import UnknownScheme
from angarium.receiver.event import Shape
from angarium.receiver.scheme import profile
from angarium.receiver.scheme.base import Scheme
from angarium.receiver.scheme.custom import Custom
from angarium.receiver.scheme.standard import Standard
from angarium.receiver.scheme.stripe import Stripe

STANDARD: Final = Standard()
SVIX: Final = Standard("svix", ("svix", "webhook"))
STRIPE: Final = Stripe()
GITHUB: Final = Custom(
    name="github",
    header="X-Hub-Signature-256",
    prefix="sha256=",
    id_header="X-GitHub-Delivery",
    type_header="X-GitHub-Event",
    action="action",
    shape=Shape(id=(), type=(), timestamp=(), data=None),
    envelope='{"zen":"Keep it logically awesome.","hook_id":1,"payload":{data}}',
)


class _Schemes(Mapping[str, Scheme]):
    """A profile is read when its scheme is used."""

    def __init__(self, *defined: Scheme) -> None:
        self._known = {scheme.name: scheme for scheme in defined}
        self._names = list(dict.fromkeys([*self._known, *profile.names()]))

    def __getitem__(self, name: str) -> Scheme:
        if name not in self._known and name in self._names:
            self._known.setdefault(name, profile.read(name))
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


SCHEMES: Final[Mapping[str, Scheme]] = _Schemes(STANDARD, SVIX, STRIPE, GITHUB)


def find(scheme: object) -> Scheme:
    """The scheme with this name, or the given scheme."""
    if isinstance(scheme, Scheme):
        return scheme
    if isinstance(scheme, str) and scheme in SCHEMES:
        return SCHEMES[scheme]
    other = "" if isinstance(scheme, str) else ", or an instance of Custom"
    raise UnknownScheme(f"the scheme must be one of {', '.join(SCHEMES)}{other}")


__all__ = ["SCHEMES", "Custom", "Scheme", "find"]
