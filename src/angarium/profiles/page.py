"""The page about one product for those who receive its webhooks, made of its profile.

Everything on it is a value in force: the request shown is signed as real ones are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from angarium.core import ids
from angarium.core.nouns import SigningKey
from angarium.core.product import Product
from angarium.core.profile import Profile, Scheme
from angarium.core.scenario import words as conditions

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 (of the page's example)
AT: Final = 1_767_225_600.0  # the time of the example, 2026-01-01
MESSAGE: Final = UUID("019b76da-a800-7000-8000-00000000a001")


def page(product: Product) -> str:
    """The page in Markdown."""
    profile = product.profile
    return "\n".join(
        [
            f"# {profile.title} webhooks\n\n{profile.summary}\n",
            *_events(profile),
            *_adding(profile),
            *_request(product),
            *_verifying(profile),
            *_answering(product),
            *_failing(profile),
            *_sandbox(profile),
            *_troubleshooting(product),
            *_checklist(profile),
            *_examples(profile),
        ]
    )


def example(product: Product) -> tuple[str, list[tuple[str, str]], bytes]:
    """The request on the page: its event type, headers and body, signed with SECRET."""
    events = product.profile.events
    event = next((one for one in events if one.example is not None), None)
    name, data = ("example", {}) if event is None else (event.name, event.example or {})
    recipe = product.recipe
    body = recipe.body(MESSAGE, name, AT, json.dumps(data, separators=(",", ":")).encode())
    headers = recipe.headers(
        message_id=MESSAGE,
        event_type=name,
        body=body,
        keys=recipe.keys([SigningKey(SECRET)]),
        custom={},
        now=AT,
    )
    return name, headers, body


def _events(profile: Profile) -> Iterator[str]:
    yield "## Event types\n\n| event | description |\n|---|---|"
    for event in profile.events:
        ours = " (an addition of ours)" if event.ours else ""
        yield f"| `{event.name}` | {event.description}{ours} |"
    yield "\nMore types may be added: answer 2xx to those you do not know.\n"


def _adding(profile: Profile) -> Iterator[str]:
    management = profile.management
    yield "## Adding an endpoint\n"
    if management.dialect == "bloom":
        paths = " or ".join(f"`POST {path}`" for path in management.base_paths)
        yield f"Ask for a link to the dashboard with an organization's token, at {paths}:\n"
        yield "```graphql\nquery DashboardURL {\n  webhookDashboardUrl\n}\n```\n"
        yield (
            f"The link is good for {_span(profile.portal.lifetime_seconds)} and can be opened any number of "
            "times until then. Tokens of users are refused. In the dashboard, give the URL of your endpoint "
            "and choose event types; an endpoint without any gets all.\n"
        )
    elif management.dialect == "native":
        yield (
            "The operator adds endpoints through the API at `/api/v1`, or gives you a link to the dashboard, "
            f"good for {_span(profile.portal.lifetime_seconds)}.\n"
        )
    else:
        names = json.dumps([event.name for event in profile.events[:2]])
        path = f"{management.base_paths[0]}/webhooks"
        shown = "Basic $AUTH" if management.scheme == "basic" else "Bearer $API_KEY"
        yield (
            f'```sh\ncurl -X POST $BASE_URL{path} \\\n  -H "Authorization: {shown}" \\\n'
            "  -H 'Content-Type: application/json' \\\n"
            f'  -d \'{{"url": "https://your-app.com/webhooks", "{management.types_field}": {names}}}\'\n```\n'
        )
        if management.scheme == "basic":
            yield "`$AUTH` is `key:secret` in base64.\n"
        if len(management.base_paths) > 1:
            others = ", ".join(f"`{other}/webhooks`" for other in management.base_paths[1:])
            yield f"The same is at {others}.\n"
        if len(management.scopes) > 1:
            yield f"Keys of the scope {management.scopes[0]} may do this; others get 403.\n"
    if management.wildcards:
        yield "`*` stands for every event type, and a name ending in `.*` for all below it, later ones too.\n"
    shown = "at any time" if profile.secrets.display == "reveal" else "once, in the answer that makes it"
    yield f"Each endpoint has a signing secret of its own, which is shown {shown}."
    if management.warning:
        yield f'The answer says: "{management.warning}"'
    span = _span(profile.secrets.overlap_seconds)
    if profile.secrets.rotation == "overlap":
        yield f"A replaced secret goes on signing beside the new one for {span}.\n"
    else:
        yield f"A new secret takes effect when it is activated, or after {span}.\n"


def _request(product: Product) -> Iterator[str]:
    name, headers, body = example(product)
    yield f"## The request\n\nFor `{name}`, signed with the secret `{SECRET}`:\n"
    yield "```http\nPOST /webhooks HTTP/1.1"
    for key, value in headers:
        yield f"{key}: {value}"
    yield f"\n{body.decode()}\n```\n"
    if product.profile.envelope:
        meanings = {
            "{id}": "the id of the message, the same on every retry: keep it to drop duplicates",
            "{type}": "the event type",
            "{time}": "when it happened",
            "{data}": "what happened",
        }
        for key, part in product.profile.envelope.items():
            yield f"- `{key}`: {meanings[part]}"
        yield ""
    families = [scheme.family for scheme in product.profile.signing if scheme.family is not None]
    if families:
        yield f"The header `{families[0]}-id` is the id of the message: the same on every retry and resend.\n"


def _verifying(profile: Profile) -> Iterator[str]:
    yield "## Verifying\n\nAlways verify, over the raw body, before parsing it. Refuse with 401.\n"
    for scheme in profile.signing:
        yield from _scheme(scheme)


def _scheme(scheme: Scheme) -> Iterator[str]:
    if scheme.family is not None:
        library = "svix" if scheme.family == "svix" else "standardwebhooks"
        yield (
            f"`{scheme.family}-signature` is verified by the `{library}` libraries with the secret as it is "
            f"shown. By hand: base64 of the HMAC-SHA256 of `{scheme.family}-id`, a dot, "
            f"`{scheme.family}-timestamp`, a dot and the body, with the base64 after `whsec_` decoded as the "
            "key; the header holds one or more of them, each after `v1,`, with blanks between. Refuse "
            "timestamps more than five minutes off.\n"
        )
        return
    key = (
        "the whole secret as text"
        if scheme.key == "text"
        else "the base64 after `whsec_`, decoded, as the key"
    )
    parts = {"{body}": "the body", "{id}": "the message's id", "{timestamp}": "the timestamp"}
    signed = scheme.signed
    for part, words in parts.items():
        signed = signed.replace(part, f"\0{words}\0")
    order = ", ".join(
        f"`{piece}`" if place % 2 == 0 else piece for place, piece in enumerate(signed.split("\0")) if piece
    )
    written = "lower-case hex" if scheme.encoding == "hex" else "base64"
    digest = scheme.algorithm.upper()
    before = scheme.format.partition("{signature}")[0].replace("{timestamp}", "the timestamp")
    after = f" after `{before}`" if before else ""
    yield (
        f"`{scheme.header}` is the {digest} of {order} with {key}, in {written}{after}. "
        "Compare in constant time.\n"
    )


def _answering(product: Product) -> Iterator[str]:
    profile = product.profile
    yield "## Answering\n"
    yield (
        f"Answer any status from 200 to 299 within {_span(product.timeout)}; the body does not matter. "
        "Everything else is a failure, redirects too. Put the work into a queue and answer first. "
        f"A request has at most {profile.delivery.max_body} bytes.\n"
    )
    yield "## Retries\n\n| attempt | after the one before | after the first |\n|---|---|---|\n| 1 | | |"
    total = 0.0
    for number, delay in enumerate(product.schedule.delays, 2):
        total += delay
        yield f"| {number} | {_span(delay)} | {_span(total)} |"
    least, most = (round(part * 100) for part in profile.delivery.jitter)
    spread = f"{least} to {most} %" if least else f"up to {most} %"
    random = f" Each delay is changed at random by {spread}." if (least, most) != (0, 0) else ""
    last = len(product.schedule.delays) + 1
    yield (
        f"\nEach delay is counted from the failure before it.{random} After attempt {last} a message is "
        "given up; it can be sent again by hand at any time, and everything lost since a time can be "
        "recovered.\n"
    )


def _failing(profile: Profile) -> Iterator[str]:
    rule = profile.disable
    yield "## When an endpoint is disabled\n"
    if rule.on_gone:
        yield "- At once, when it answers 410."
    if rule.consecutive_attempts is not None:
        warned = ", ".join(f"{round(part * 100)}" for part in rule.warn_at)
        told = f" The operator is told at {warned} % of that." if warned else ""
        yield f"- After {rule.consecutive_attempts} failed attempts in a row.{told}"
    if rule.failing_seconds is not None:
        yield f"- After {_span(rule.failing_seconds)} of nothing but failures."
    yield (
        "\nWhat it was still owed is canceled. Once it is enabled again, what failed or was canceled "
        "meanwhile can be recovered.\n"
    )


def _sandbox(profile: Profile) -> Iterator[str]:
    if not profile.scenarios:
        return
    yield "## Sandbox\n\nIn a sandbox these calls make events as the real product would:\n"
    for scenario in profile.scenarios:
        path = re.sub(r"\{(\w+)\}", lambda found: f"${found[1].upper()}", scenario.path)
        fields = ", ".join(f"`{name}`" for name in scenario.required)
        base = profile.management.base_paths[0] if profile.management.base_paths else ""
        more = ", ".join(f"`{name}` (else `{value}`)" for name, value in scenario.defaults.items())
        yield f"- `{scenario.method} {base}{path}` with {fields or 'any body'}" + (
            f", and if you like {more}" if more else ""
        )
        if (counter := scenario.counter) is not None:
            yield (
                f"  - each call takes {counter.take} of `{counter.name}`, {counter.start} at first;"
                f" `{counter.name}_before` is what there was before the call"
            )
        for step in scenario.steps:
            after = f" after {_span(step.after_seconds)}" if step.after_seconds else ""
            when = f" when {conditions(step.when)}" if step.when else ""
            yield f"  - `{step.type}`{after}{when}"
    yield ""


def _checklist(profile: Profile) -> Iterator[str]:
    yield "## Before production\n"
    yield "- The URL is https and public."
    yield "- Every request is verified over its raw body, and refused with 401 otherwise."
    yield "- The answer comes first and the work later."
    yield "- A message that arrives twice, by its id, does nothing the second time and gets 2xx."
    yield "- Unknown event types get 2xx."
    yield "- What arrives is logged, and somebody is told when nothing does.\n"


def _troubleshooting(product: Product) -> Iterator[str]:
    yield "## When deliveries fail\n"
    yield "Every attempt is in the log of the endpoint, with what happened and what to do. Mostly it is:\n"
    yield "- Verifying something else than the raw body: parsed and serialized again it has other bytes."
    yield "- The wrong secret: each endpoint has its own, and a replaced one ends."
    yield "- A status other than 2xx, or a redirect, which is never followed."
    yield f"- An answer after more than {_span(product.timeout)}."
    yield "- A firewall: the addresses that requests come from are at `/.well-known/webhook-sources.json`."
    yield "- A clock that is more than five minutes off.\n"


def _examples(profile: Profile) -> Iterator[str]:
    yield "## Examples of what happened\n"
    for event in profile.events:
        if event.example is not None:
            yield f"- `{event.name}`: `{json.dumps(event.example, separators=(',', ':'))}`"
    yield ""


def _span(seconds: float) -> str:
    """A duration in words."""
    parts = []
    rest = seconds
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:g} {name}{'' if count == 1 else 's'}")
    if rest or not parts:
        parts.append(f"{rest:g} second{'' if rest == 1 else 's'}")
    return " ".join(parts)


def index(products: list[Product]) -> str:
    """The page `llms.txt`: what there is to read, and where."""
    lines = [
        "# Angarium",
        "",
        "> Webhooks: signed, retried, and every attempt to be seen.",
        "",
        "## Products",
        "",
    ]
    lines += [f"- [{p.profile.title}](/docs/products/{p.name}.md): {p.profile.summary}" for p in products]
    lines += [
        "",
        "## API",
        "",
        "- [OpenAPI document](/api/v1/openapi.json): every operation, and the bodies of webhooks",
        "- [API reference](/docs)",
    ]
    return "\n".join(lines) + "\n"


def webhooks(product: Product) -> dict[str, Any]:
    """The `webhooks` of an OpenAPI document: one for each event, with a schema and an example."""
    found = {}
    for event in product.profile.events:
        data: dict[str, Any] = event.schema or {"type": "object"}
        schemas = {
            "{id}": {"type": "string"},
            "{type}": {"const": event.name},
            "{time}": {"type": "string", "format": "date-time"},
            "{data}": data,
        }
        envelope = product.profile.envelope
        properties = {key: schemas[part] for key, part in envelope.items()}
        schema = data if not envelope else {
            "type": "object", "required": list(envelope), "properties": properties
        }  # fmt: skip
        content: dict[str, Any] = {"schema": schema}
        if event.example is not None:
            payload = json.dumps(event.example).encode()
            content["example"] = json.loads(product.recipe.body(MESSAGE, event.name, AT, payload))
        found[f"{product.name}.{event.name}"] = {
            "post": {
                "summary": event.description,
                "tags": [product.profile.title],
                "requestBody": {"required": True, "content": {"application/json": content}},
                "responses": {"2XX": {"description": "Any 2xx is a success; the body does not matter."}},
            }
        }
    return found


def message_id(product: Product) -> str:
    """The id of the example's message."""
    return ids.text(product.profile.ids.message, MESSAGE)
