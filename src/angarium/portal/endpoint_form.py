"""The form of an endpoint: what it shows, what was entered, and the draft that this amounts to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from angarium.core.errors import FieldError, Invalid
from angarium.core.nouns import Endpoint
from angarium.core.patterns import is_channel
from angarium.portal import event_choice
from angarium.portal.form import Form
from angarium.portal.visit import Visit
from angarium.service.endpoint_draft import EndpointDraft
from angarium.service.endpoint_header import MAX_HEADERS, SENSITIVE, check_headers

MAX_TEXT: Final = 1000
MAX_RATE: Final = 65535
MAX_CHANNELS: Final = 10
BLANK_HEADERS: Final = 2
NAMED: Final = frozenset({"bluum"})  # dialects in which endpoints have a name beside the description


@dataclass(frozen=True, slots=True)
class HeaderField:
    """One header. `hidden`: it has a value that is never shown, and keeps it when nothing is entered."""

    name: str = ""
    value: str = ""
    hidden: bool = False


@dataclass(slots=True)
class EndpointForm:
    """The fields as texts; `faults` by the name of the field."""

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
        """What was entered; `before` are the headers that the endpoint has."""
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
            event_types=event_choice.read(form.text("every"), form.all("types"), form.raw("more")),
            channels=form.text("channels"),
            rate_limit=form.text("rate"),
            fifo=form.has("fifo"),
            headers=headers,
        )

    async def check(self, visit: Visit, types: Any, before: tuple[str, ...] | None = None) -> None:
        """Note the faults that the form itself can see; the service sees the others."""
        if (fault := await event_choice.fault_of(visit, types, self.event_types, before)) is not None:
            self.faults["types"] = fault
        for name in ("name", "description"):
            if len(getattr(self, name)) > MAX_TEXT:
                self.faults[name] = f"At most {MAX_TEXT} characters."
        if self.rate_limit and not (
            self.rate_limit.isascii()
            and self.rate_limit.isdigit()
            and 1 <= int(self.rate_limit[:9]) <= MAX_RATE
        ):
            self.faults["rate"] = (
                f"A whole number from 1 to {MAX_RATE:,}, or nothing for no limit of its own."
            )
        wanted = self.channel_names()
        if wrong := [one for one in wanted if not is_channel(one)]:
            self.faults["channels"] = f"A channel is of letters, digits and - _ . : +, not {wrong[0][:100]}"
        elif len(wanted) > MAX_CHANNELS:
            self.faults["channels"] = f"At most {MAX_CHANNELS} channels."
        if any(not header.name for header in self.headers):
            self.faults["headers"] = "Each header needs a name."
        if len({header.name.lower() for header in self.headers}) < len(self.headers):
            self.faults["headers"] = "Each header can be there once only."
        try:
            check_headers({header.name: header.value for header in self.headers if header.name})
        except Invalid as error:
            self.blame(error)

    def channel_names(self) -> list[str]:
        return list(dict.fromkeys(self.channels.replace(",", " ").split()))

    def header_values(self, before: Mapping[str, str]) -> dict[str, str]:
        """The headers to send, with the hidden values that were kept.

        Raises Invalid for a hidden value that is not among `before`: the new URL must not get it.
        """
        kept = {name.lower(): value for name, value in before.items()}
        lost = [header.name for header in self.headers if header.hidden and header.name.lower() not in kept]
        if lost:
            why = "The URL leads to another host. Enter the value again, or remove the header."
            raise Invalid(*(FieldError(("body", "headers", name), why) for name in lost))
        return {
            header.name: kept[header.name.lower()] if header.hidden else header.value
            for header in self.headers
        }

    def apply(self, draft: EndpointDraft, hidden: tuple[str, ...] = ()) -> EndpointDraft:
        """The draft with what was entered; `hidden` event types stay chosen."""
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
        """Put what the service refused at the fields it is about."""
        for fault in error.faults:
            first = str(fault.loc[1]) if len(fault.loc) > 1 else ""
            place = {"eventTypes": "types", "rate_limit": "rate"}.get(first, first)
            words = fault.msg[:1].upper() + fault.msg[1:]
            if place == "headers" and len(fault.loc) > 2:
                words = f"{fault.loc[2]}: {words}"
            self.faults.setdefault(place if place in _FIELDS else "url", words)


_FIELDS: Final = frozenset({"url", "name", "description", "types", "channels", "rate", "headers"})


def _shown(name: str, value: str) -> HeaderField:
    secret = name.lower() in SENSITIVE
    return HeaderField(name, "" if secret else value, secret)
