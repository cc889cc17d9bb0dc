"""The page about one product for those who receive its webhooks, made of its profile.

Everything on it is a value in force: the request shown is signed as real ones are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from angarium.core.product import Product
from angarium.core.profile import Profile
from angarium.core.scenario import words as conditions
from angarium.core.schedule import spoken
from angarium.profiles.page_delivery import answering, failing, troubleshooting
from angarium.profiles.page_request import request, verifying


def page(product: Product) -> str:
    """The page in Markdown."""
    profile = product.profile
    return "\n".join(
        [
            f"# {profile.title} webhooks\n\n{profile.summary}\n",
            *_events(profile),
            *_adding(profile),
            *request(product),
            *verifying(profile),
            *answering(product),
            *failing(profile),
            *_sandbox(profile),
            *troubleshooting(product),
            *_checklist(),
            *_examples(profile),
        ]
    )


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
            f"The link is good for {spoken(profile.portal.lifetime_seconds)} and can be opened any number of "
            "times until then. Tokens of users are refused. In the dashboard, give the URL of your endpoint "
            "and choose event types; an endpoint without any gets all.\n"
        )
    elif management.dialect == "native":
        yield (
            "The operator adds endpoints through the API at `/api/v1`, or gives you a link to the dashboard, "
            f"good for {spoken(profile.portal.lifetime_seconds)}.\n"
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
    span = spoken(profile.secrets.overlap_seconds)
    if profile.secrets.rotation == "overlap":
        yield f"A replaced secret goes on signing beside the new one for {span}.\n"
    else:
        yield f"A new secret takes effect when it is activated, or after {span}.\n"


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
            after = f" after {spoken(step.after_seconds)}" if step.after_seconds else ""
            when = f" when {conditions(step.when)}" if step.when else ""
            yield f"  - `{step.type}`{after}{when}"
    yield ""


def _checklist() -> Iterator[str]:
    yield "## Before production\n"
    yield "- The URL is https and public."
    yield "- Every request is verified over its raw body, and refused with 401 otherwise."
    yield "- The answer comes first and the work later."
    yield "- A message that arrives twice, by its id, does nothing the second time and gets 2xx."
    yield "- Unknown event types get 2xx."
    yield "- What arrives is logged, and somebody is told when nothing does.\n"


def _examples(profile: Profile) -> Iterator[str]:
    yield "## Examples of what happened\n"
    for event in profile.events:
        if event.example is not None:
            yield f"- `{event.name}`: `{json.dumps(event.example, separators=(',', ':'))}`"
    yield ""
