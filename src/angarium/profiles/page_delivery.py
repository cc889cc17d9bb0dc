"""Of a product's page: how to answer, what happens to what fails, and where to look."""

from __future__ import annotations

from collections.abc import Iterator

from angarium.core.product import Product
from angarium.core.profile import Profile
from angarium.core.schedule import spoken


def answering(product: Product) -> Iterator[str]:
    profile = product.profile
    yield "## Answering\n"
    yield (
        f"Answer any status from 200 to 299 within {spoken(product.timeout)}; the body does not matter. "
        "Everything else is a failure, redirects too. Put the work into a queue and answer first. "
        f"A request has at most {profile.delivery.max_body} bytes.\n"
    )
    yield "## Retries\n\n| attempt | after the one before | after the first |\n|---|---|---|\n| 1 | | |"
    total = 0.0
    for number, delay in enumerate(product.schedule.delays, 2):
        total += delay
        yield f"| {number} | {spoken(delay)} | {spoken(total)} |"
    least, most = (round(part * 100) for part in profile.delivery.jitter)
    spread = f"{least} to {most} %" if least else f"up to {most} %"
    random = f" Each delay is changed at random by {spread}." if (least, most) != (0, 0) else ""
    last = len(product.schedule.delays) + 1
    yield (
        f"\nEach delay is counted from the failure before it.{random} After attempt {last} a message is "
        "given up; it can be sent again by hand at any time, and everything lost since a time can be "
        "recovered.\n"
    )


def failing(profile: Profile) -> Iterator[str]:
    rule = profile.disable
    yield "## When an endpoint is disabled\n"
    if rule.on_gone:
        yield "- At once, when it answers 410."
    if rule.consecutive_attempts is not None:
        warned = ", ".join(f"{round(part * 100)}" for part in rule.warn_at)
        told = f" The operator is told at {warned} % of that." if warned else ""
        yield f"- After {rule.consecutive_attempts} failed attempts in a row.{told}"
    if rule.failing_seconds is not None:
        evidence = (
            " The time starts when several events were given up within 24 hours, at least 12 hours apart."
            if rule.evidence
            else ""
        )
        yield f"- After {spoken(rule.failing_seconds)} of nothing but failures.{evidence}"
    yield "\nTests and events sent again by hand never count. A new URL and enabling start anew.\n"
    yield (
        "What it was still owed is canceled. What failed or was canceled can be recovered; what is recovered "
        "or sent again while it is disabled waits until it is enabled.\n"
    )


def troubleshooting(product: Product) -> Iterator[str]:
    yield "## When deliveries fail\n"
    yield "Every attempt is in the log of the endpoint, with what happened and what to do. Mostly it is:\n"
    yield "- Verifying something else than the raw body: parsed and serialized again it has other bytes."
    yield "- The wrong secret: each endpoint has its own, and a replaced one ends."
    yield "- A status other than 2xx, or a redirect, which is never followed."
    yield f"- An answer after more than {spoken(product.timeout)}."
    yield "- A firewall: the addresses that requests come from are at `/.well-known/webhook-sources.json`."
    yield "- A clock that is more than five minutes off.\n"
