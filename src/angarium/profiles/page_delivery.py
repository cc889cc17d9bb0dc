"""Writes the part of a product's page about responses, retries, disabling and troubleshooting."""

from __future__ import annotations

from collections.abc import Iterator

from angarium.core.product import Product
from angarium.core.profile import Profile
from angarium.core.schedule import spoken


def answering(product: Product) -> Iterator[str]:
    profile = product.profile
    yield "## Answering\n"
    yield (
        f"Respond with a status from 200 to 299 within {spoken(product.timeout)}; its body does not matter. "
        "Any other response is a failure, including redirects. Queue the work and respond first. "
        f"A request body has at most {profile.delivery.max_body} bytes.\n"
    )
    yield "## Retries\n\n| attempt | after the previous attempt | after the first |\n|---|---|---|\n| 1 | | |"
    total = 0.0
    for number, delay in enumerate(product.schedule.delays, 2):
        total += delay
        yield f"| {number} | {spoken(delay)} | {spoken(total)} |"
    least, most = (round(part * 100) for part in profile.delivery.jitter)
    spread = f"{least} to {most} %" if least else f"up to {most} %"
    random = f" Each delay is varied at random by {spread}." if (least, most) != (0, 0) else ""
    last = len(product.schedule.delays) + 1
    yield (
        f"\nEach delay starts at the previous failure.{random} After attempt {last} there are no more "
        "automatic retries. A message can be resent manually at any time, and all undelivered messages since "
        "a given time can be recovered.\n"
    )


def failing(profile: Profile) -> Iterator[str]:
    rule = profile.disable
    yield "## When an endpoint is disabled\n"
    if rule.on_gone:
        yield "- Immediately, when it responds with 410."
    if rule.consecutive_attempts is not None:
        warned = ", ".join(f"{round(part * 100)}" for part in rule.warn_at)
        told = f" The operator is notified at {warned} % of that." if warned else ""
        yield f"- After {rule.consecutive_attempts} failed attempts in a row.{told}"
    if rule.failing_seconds is not None:
        evidence = (
            " The time starts once several messages have failed all attempts within 24 hours, at least 12 "
            "hours apart."
            if rule.evidence
            else ""
        )
        yield f"- After {spoken(rule.failing_seconds)} in which every attempt failed.{evidence}"
    yield "\nTests and manual resends never count. A new URL or enabling the endpoint resets the count.\n"
    yield (
        "Its pending deliveries are canceled. Failed and canceled messages can be recovered. Messages that "
        "are recovered or resent while the endpoint is disabled wait until it is enabled.\n"
    )


def troubleshooting(product: Product) -> Iterator[str]:
    yield "## When deliveries fail\n"
    yield "The endpoint's log shows every attempt, with what happened and what to do. Common causes:\n"
    yield "- The signature is not verified over the raw body. Parsing and serializing changes the bytes."
    yield "- The wrong secret: each endpoint has its own, and a replaced secret expires."
    yield "- A status other than 2xx, or a redirect. Redirects are not followed."
    yield f"- A response that takes longer than {spoken(product.timeout)}."
    yield "- A firewall: `/.well-known/webhook-sources.json` lists the addresses that requests come from."
    yield "- A clock that is off by more than five minutes.\n"
