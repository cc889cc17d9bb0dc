"""Builds the tree of checkboxes in which an endpoint's event types are chosen.

A group is the group of the catalogue, or the part of a name before its first dot. If the product allows
wildcards and all types of a group share that part, one checkbox selects the group with its future types.
Patterns without a checkbox are shown in a text field, so that saving the form keeps them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from angarium.core.errors import NotFound
from angarium.core.nouns import EventType
from angarium.core.patterns import covers, is_event_type, is_wildcard
from angarium.core.profile import Profile
from angarium.portal.visit import Visit

MAX_SHOWN: Final = 2000  # event types on a page
MAX_CHOSEN: Final = 1000
_PAGE: Final = 250
# dialects that can express "every type" without a wildcard
_SAY_EVERYTHING: Final = frozenset({"native", "bloom"})


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


async def visible(visit: Visit, *, archived: bool = False) -> list[EventType]:
    """The event types that this visitor may see, by name."""
    found: list[EventType] = []
    while len(found) < MAX_SHOWN:
        page = await visit.services.event_type.page(
            visit.claims.org_id,
            found[-1].name if found else None,
            ascending=True,
            limit=_PAGE,
            include_archived=archived,
            flags=visit.claims.feature_flags,
        )
        found += page
        if len(page) < _PAGE:
            break
    return found


def groups(types: Iterable[EventType]) -> dict[str, list[EventType]]:
    """Event types by group; groups are sorted."""
    found: dict[str, list[EventType]] = {}
    for one in types:
        found.setdefault(one.group_name or _domain(one.name), []).append(one)
    return dict(sorted(found.items()))


def choice(types: Sequence[EventType], patterns: Collection[str] | None, profile: Profile) -> Choice:
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
        offers_everything=wildcards or profile.management.dialect in _SAY_EVERYTHING,
        wildcards=wildcards,
        matches=len(matching(types, patterns)),
        total=len(types),
    )


def matching(types: Iterable[EventType], patterns: Collection[str] | None) -> list[EventType]:
    """The types that the patterns match."""
    return [one for one in types if covers(patterns, one.name)]


def read(every: str, boxes: Sequence[str], more: str) -> tuple[str, ...] | None:
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
        return "Choose at least one event type."
    if len(patterns) > MAX_CHOSEN:
        return f"Choose at most {MAX_CHOSEN} event types, or whole groups."
    wrong = [one for one in patterns if not is_event_type(one) and not is_wildcard(one)]
    if wrong:
        return f"Not an event type: {wrong[0][:100]}"
    if not visit.product.profile.management.wildcards and any(map(is_wildcard, patterns)):
        return "Choose event types by their full names."
    types = list(types)
    known = {one.name for one in types} | set(before or ())
    missing = [one for one in patterns if not is_wildcard(one) and one not in known]
    if missing:
        return f"Unknown event type: {missing[0]}"
    unmatched = [one for one in patterns if is_wildcard(one) and one not in known]
    # unknown without a catalogue
    unmatched = [one for one in unmatched if types and not matching(types, [one])]
    return f"No event type starts with {unmatched[0].removesuffix('*')}" if unmatched else None


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


def may_see(visit: Visit, one: EventType) -> bool:
    """Whether the link's feature flags allow this event type."""
    return not one.feature_flags or not visit.claims.feature_flags.isdisjoint(one.feature_flags)


def _domain(name: str) -> str:
    return name.partition(".")[0]


def _whole(members: Sequence[EventType]) -> str | None:
    """The wildcard that covers the group, or None if there is none."""
    domains = {_domain(one.name) for one in members}
    wildcard = f"{next(iter(domains))}.*"
    fits = len(domains) == 1 and all(covers([wildcard], one.name) for one in members)
    return wildcard if fits and is_wildcard(wildcard) else None
