"""Runs sandbox scenarios: a call decrements a counter, and its steps become messages in one commit.

All steps are stored as messages at once, each with its own due time, so that a restart loses none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.errors import AngariumError, FieldError, Invalid
from angarium.core.profile_scenario import Scenario
from angarium.core.scenario import fill, holds, make
from angarium.service.intake import Draft
from angarium.service.services import Services
from angarium.store import application


def check(scenario: Scenario, body: Mapping[str, Any]) -> None:
    """Raises Invalid for each field that is missing or not one of its choices."""
    faults = [
        FieldError(("body", name), f"{name} is required", "value_error.missing")
        for name in scenario.required
        if body.get(name) is None or body[name] == ""
    ]
    for name, choices in scenario.choices.items():
        if body.get(name) is not None and body[name] not in choices:
            words = f"{name} must be one of {', '.join(map(str, choices))}"
            faults.append(FieldError(("body", name), words, "value_error.enum"))
    if faults:
        raise Invalid(*faults)


async def play(
    services: Services,
    scenario: Scenario,
    *,
    org_id: str,
    app_id: UUID,
    body: Mapping[str, Any],
    path: Mapping[str, str],
    entropy: Callable[[int], bytes],
) -> dict[str, Any]:
    """Run the scenario for an application and return the response. Raises Invalid, and as intake does."""
    check(scenario, body)
    now = services.clock.now()
    iso = datetime_at(now).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    values: dict[str, Any] = {**scenario.defaults, **{k: v for k, v in body.items() if v is not None}, **path}
    for name, expression in scenario.make.items():
        values[name] = make(expression, values, now=iso, entropy=entropy)
    if (counter := scenario.counter) is not None:
        async with services.database.connection() as connection:
            before, after = await application.take_from_counter(
                connection, app_id, counter.name, counter.start, counter.take
            )
        values |= {counter.name: after, f"{counter.name}_before": before}
    drafts = [
        Draft(
            org_id=org_id,
            app=ids.text(ids.APPLICATION, app_id),
            event_type=step.type,
            payload=msgspec.json.encode(fill(step.data, values)),
            deliver_at=now + step.after_seconds if step.after_seconds else None,
            occurred_at=now + step.after_seconds,
        )
        for step in scenario.steps
        if holds(step.when, values)
    ]
    for result in await services.intake.accept_many(drafts) if drafts else []:
        if isinstance(result, AngariumError):
            raise result
    answer: dict[str, Any] = fill(scenario.response, values)
    return answer
