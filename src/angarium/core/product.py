"""A product: a profile prepared for use, with its durations parsed and its message format built."""

from __future__ import annotations

from dataclasses import dataclass

from angarium.core.health import DisableRule
from angarium.core.message_format import MessageFormat
from angarium.core.profile import Profile
from angarium.core.schedule import Schedule

STANDARD = "standard"


@dataclass(frozen=True, slots=True)
class Product:
    """What is needed to send for a product."""

    profile: Profile
    message_format: MessageFormat
    schedule: Schedule
    timeout: float  # total seconds for one attempt
    max_body: int  # bytes
    disable: DisableRule

    @property
    def name(self) -> str:
        return self.profile.name


def product_of(profile: Profile, user_agent: str) -> Product:
    """The product of a checked profile. `user_agent` applies if the profile has none."""
    rules = profile.disable
    return Product(
        profile=profile,
        message_format=MessageFormat(profile, user_agent),
        schedule=profile.delivery.schedule(),
        timeout=profile.delivery.timeout_seconds,
        max_body=profile.delivery.max_body,
        disable=DisableRule(
            consecutive=rules.consecutive_attempts,
            failing_for=rules.failing_seconds,
            evidence=rules.evidence,
            on_gone=rules.on_gone,
            warnings=rules.warnings(),
        ),
    )
