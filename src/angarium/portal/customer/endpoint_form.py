"""Reads and validates the form of an endpoint, with its choice of event types, and turns it into a draft.

Event types are chosen in a tree of checkboxes. A group is the group of the catalogue, or the part of a name
before its first dot. If the product allows wildcards and all types of a group share that part, one checkbox
selects the group with its future types. Patterns without a checkbox are shown in a text field, so that saving
the form keeps them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from angarium.core.errors import FieldError, Invalid, NotFound
from angarium.core.nouns import Endpoint, EventType
from angarium.core.patterns import covers, is_channel, is_event_type, is_wildcard
from angarium.core.profile import Profile
from angarium.portal.customer.event_type import domain, groups, may_see
from angarium.portal.kit.form import Form
from angarium.portal.kit.text import t
from angarium.portal.kit.visit import Visit
from angarium.service.endpoint_field import MAX_HEADERS, SENSITIVE, EndpointDraft, check_headers

MAX_TEXT: Final = 1000
MAX_RATE: Final = 65535
MAX_CHANNELS: Final = 10
BLANK_HEADERS: Final = 2
_FIELDS: Final = frozenset({"url", "name", "description", "types", "channels", "rate", "headers"})
MAX_CHOSEN: Final = 1000


@dataclass(frozen=True, slots=True)
class HeaderField:
    """One header. `hidden`: its value is never shown, and is kept if none is entered."""

    name: str = ""
    value: str = ""
    hidden: bool = False


@dataclass(slots=True)
class EndpointForm:
    """The fields as text; `faults` are errors by field name."""

    url: str = ""
    name: str = ""
    description: str = ""
    event_types: tuple[str, ...] | None = None
    channels: str = ""
    rate_limit: str = ""
    fifo: bool = False
    headers: list[HeaderField] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, endpoint: Endpoint) -> EndpointForm:
        return cls(
            url=endpoint.url,
            name=endpoint.name or "",
            description=endpoint.description,
            event_types=endpoint.event_types,
            channels=", ".join(endpoint.channels or ()),
            rate_limit=str(endpoint.rate_limit or ""),
            fifo=endpoint.fifo,
            headers=[_shown(name, value) for name, value in endpoint.headers.items()],
        )

    @classmethod
    def read(cls, form: Form, before: Mapping[str, str]) -> EndpointForm:
        """Reads a posted form. `before`: the current headers of the endpoint."""
        secret = {name.lower() for name in before if name.lower() in SENSITIVE}
        headers = []
        for place in range(MAX_HEADERS + BLANK_HEADERS):
            name, value = form.text(f"header-name-{place}"), form.text(f"header-value-{place}")
            if name or value:
                headers.append(HeaderField(name, value, not value and name.lower() in secret))
        return cls(
            url=form.text("url"),
            name=form.text("name"),
            description=form.text("description"),
            event_types=read_choice(form.text("every"), form.all("types"), form.raw("more")),
            channels=form.text("channels"),
            rate_limit=form.text("rate"),
            fifo=form.has("fifo"),
            headers=headers,
        )

    async def check(self, visit: Visit, types: Any, before: tuple[str, ...] | None = None) -> None:
        """Records the errors that the form can detect; the service detects the others."""
        if (fault := await fault_of(visit, types, self.event_types, before)) is not None:
            self.faults["types"] = fault
        for name in ("name", "description"):
            if len(getattr(self, name)) > MAX_TEXT:
                self.faults[name] = t("form.fault.length", number=MAX_TEXT)
        if self.rate_limit and not (
            self.rate_limit.isascii()
            and self.rate_limit.isdigit()
            and 1 <= int(self.rate_limit[:9]) <= MAX_RATE
        ):
            self.faults["rate"] = t("form.fault.rate", number=f"{MAX_RATE:,}")
        wanted = self.channel_names()
        if wrong := [one for one in wanted if not is_channel(one)]:
            self.faults["channels"] = t("form.fault.channel", channel=wrong[0][:100])
        elif len(wanted) > MAX_CHANNELS:
            self.faults["channels"] = t("form.fault.channels", number=MAX_CHANNELS)
        if any(not header.name for header in self.headers):
            self.faults["headers"] = t("form.fault.header_name")
        if len({header.name.lower() for header in self.headers}) < len(self.headers):
            self.faults["headers"] = t("form.fault.header_twice")
        try:
            check_headers({header.name: header.value for header in self.headers if header.name})
        except Invalid as error:
            self.blame(error)

    def channel_names(self) -> list[str]:
        return list(dict.fromkeys(self.channels.replace(",", " ").split()))

    def header_values(self, before: Mapping[str, str]) -> dict[str, str]:
        """The headers to send, with hidden values from `before`.

        Raises Invalid for a hidden value that is not in `before`: the new URL must not receive it.
        """
        kept = {name.lower(): value for name, value in before.items()}
        missing = [
            header.name for header in self.headers if header.hidden and header.name.lower() not in kept
        ]
        if missing:
            why = t("form.fault.header_host")
            raise Invalid(*(FieldError(("body", "headers", name), why) for name in missing))
        return {
            header.name: kept[header.name.lower()] if header.hidden else header.value
            for header in self.headers
        }

    def apply(self, draft: EndpointDraft, hidden: tuple[str, ...] = ()) -> EndpointDraft:
        """The draft with the entered values; `hidden` event types stay selected."""
        types = self.event_types
        return replace(
            draft,
            url=self.url,
            name=self.name or draft.name,
            description=self.description,
            event_types=None if types is None else tuple(dict.fromkeys((*types, *hidden))),
            channels=tuple(self.channel_names()) or None,
            rate_limit=int(self.rate_limit) if self.rate_limit else None,
            fifo=self.fifo,
        )

    def blame(self, error: Invalid) -> None:
        """Assigns the errors of the service to their fields."""
        for fault in error.faults:
            first = str(fault.loc[1]) if len(fault.loc) > 1 else ""
            place = {"eventTypes": "types", "rate_limit": "rate"}.get(first, first)
            words = fault.msg[:1].upper() + fault.msg[1:]
            if place == "headers" and len(fault.loc) > 2:
                words = f"{fault.loc[2]}: {words}"
            self.faults.setdefault(place if place in _FIELDS else "url", words)


def _shown(name: str, value: str) -> HeaderField:
    secret = name.lower() in SENSITIVE
    return HeaderField(name, "" if secret else value, secret)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One event type. `covered`: its group is selected."""

    type: EventType
    chosen: bool
    covered: bool


@dataclass(frozen=True, slots=True)
class Branch:
    """A group; `whole` is its wildcard, or None."""

    title: str
    whole: str | None
    chosen: bool
    leaves: tuple[Leaf, ...]

    @property
    def touched(self) -> bool:
        """Whether anything in the group is selected."""
        return self.chosen or any(leaf.chosen for leaf in self.leaves)


@dataclass(frozen=True, slots=True)
class Choice:
    """The content of the form field."""

    branches: tuple[Branch, ...]
    everything: bool
    more: str  # patterns without a checkbox, one per line
    offers_everything: bool
    wildcards: bool
    matches: int
    total: int


def choice_of(types: Sequence[EventType], patterns: Collection[str] | None, profile: Profile) -> Choice:
    """The tree with these patterns selected; None: every type."""
    chosen = set(patterns or ())
    wildcards = profile.management.wildcards
    branches = []
    for title, members in groups(types).items():
        whole = _whole(members) if wildcards else None
        as_whole = whole is not None and whole in chosen
        leaves = tuple(Leaf(one, one.name in chosen, as_whole) for one in members)
        branches.append(Branch(title, whole, as_whole, leaves))
    boxes = {leaf.type.name for branch in branches for leaf in branch.leaves}
    boxes |= {branch.whole for branch in branches if branch.whole}
    return Choice(
        tuple(branches),
        everything=patterns is None,
        more="\n".join(pattern for pattern in patterns or () if pattern not in boxes),
        offers_everything=wildcards or profile.management.all_types,
        wildcards=wildcards,
        matches=len(matching(types, patterns)),
        total=len(types),
    )


def matching(types: Iterable[EventType], patterns: Collection[str] | None) -> list[EventType]:
    """The types that the patterns match."""
    return [one for one in types if covers(patterns, one.name)]


def read_choice(every: str, boxes: Sequence[str], more: str) -> tuple[str, ...] | None:
    """Reads a posted form: None for every type. Types covered by a chosen wildcard are left out."""
    if every == "all":
        return None
    named = list(dict.fromkeys([*boxes, *more.replace(",", " ").split()]))
    wild = [pattern for pattern in named if is_wildcard(pattern)]
    return tuple(name for name in named if is_wildcard(name) or not covers(wild, name))


async def fault_of(
    visit: Visit,
    types: Iterable[EventType],
    patterns: tuple[str, ...] | None,
    before: tuple[str, ...] | None,
) -> str | None:
    """The error in a choice, if any. Patterns in `before` are always allowed."""
    if patterns is None:
        return None
    if not patterns:
        return t("form.fault.types_none")
    if len(patterns) > MAX_CHOSEN:
        return t("form.fault.types_many", number=MAX_CHOSEN)
    wrong = [one for one in patterns if not is_event_type(one) and not is_wildcard(one)]
    if wrong:
        return t("form.fault.type_invalid", name=wrong[0][:100])
    if not visit.product.profile.management.wildcards and any(map(is_wildcard, patterns)):
        return t("form.fault.type_wildcard")
    types = list(types)
    known = {one.name for one in types} | set(before or ())
    missing = [one for one in patterns if not is_wildcard(one) and one not in known]
    if missing:
        return t("form.fault.type_unknown", name=missing[0])
    unmatched = [one for one in patterns if is_wildcard(one) and one not in known]
    # unknown without a catalogue
    unmatched = [one for one in unmatched if types and not matching(types, [one])]
    return t("form.fault.type_unmatched", name=unmatched[0].removesuffix("*")) if unmatched else None


async def hidden(visit: Visit, types: Iterable[EventType], patterns: Iterable[str]) -> tuple[str, ...]:
    """The patterns that exist but that this visitor may not see; a save keeps them."""
    known = {one.name for one in types}
    found = []
    for name in patterns:
        if name in known or is_wildcard(name):
            continue
        try:
            one = await visit.services.event_type.find(visit.claims.org_id, name)
        except NotFound:
            continue
        if not may_see(visit, one):
            found.append(name)
    return tuple(found)


def _whole(members: Sequence[EventType]) -> str | None:
    """The wildcard that covers the group, or None if there is none."""
    domains = {domain(one.name) for one in members}
    wildcard = f"{next(iter(domains))}.*"
    fits = len(domains) == 1 and all(covers([wildcard], one.name) for one in members)
    return wildcard if fits and is_wildcard(wildcard) else None
