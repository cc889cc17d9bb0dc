"""Reads and validates the form of an endpoint, and turns it into a draft."""

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
from angarium.service.endpoint_secret import MAX_HEADERS, SENSITIVE, check_headers

MAX_TEXT: Final = 1000
MAX_RATE: Final = 65535
MAX_CHANNELS: Final = 10
BLANK_HEADERS: Final = 2
NAMED: Final = frozenset({"bluum"})  # dialects whose endpoints have a name besides the description


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
            event_types=event_choice.read(form.text("every"), form.all("types"), form.raw("more")),
            channels=form.text("channels"),
            rate_limit=form.text("rate"),
            fifo=form.has("fifo"),
            headers=headers,
        )

    async def check(self, visit: Visit, types: Any, before: tuple[str, ...] | None = None) -> None:
        """Records the errors that the form can detect; the service detects the others."""
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
            self.faults["rate"] = f"Enter a whole number from 1 to {MAX_RATE:,}, or leave empty for no limit."
        wanted = self.channel_names()
        if wrong := [one for one in wanted if not is_channel(one)]:
            self.faults["channels"] = (
                f"A channel may contain letters, digits and - _ . : + only, not {wrong[0][:100]}"
            )
        elif len(wanted) > MAX_CHANNELS:
            self.faults["channels"] = f"At most {MAX_CHANNELS} channels."
        if any(not header.name for header in self.headers):
            self.faults["headers"] = "Each header needs a name."
        if len({header.name.lower() for header in self.headers}) < len(self.headers):
            self.faults["headers"] = "Header names must be unique."
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
            why = "The host of the URL changed. Enter the value again, or remove the header."
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


_FIELDS: Final = frozenset({"url", "name", "description", "types", "channels", "rate", "headers"})


def _shown(name: str, value: str) -> HeaderField:
    secret = name.lower() in SENSITIVE
    return HeaderField(name, "" if secret else value, secret)
