"""Writes the page of a product for receivers of its webhooks, from its profile.

All values on it come from the profile, and the example request is signed like a real one.
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
        ours = " (added by Angarium)" if event.ours else ""
        yield f"| `{event.name}` | {event.description}{ours} |"
    yield "\nMore event types may be added. Respond with 2xx to event types you do not know.\n"


def _adding(profile: Profile) -> Iterator[str]:
    management = profile.management
    yield "## Adding an endpoint\n"
    if management.dialect == "bloom":
        paths = " or ".join(f"`POST {path}`" for path in management.base_paths)
        yield f"Request a link to the dashboard with an organization's token, at {paths}:\n"
        yield "```graphql\nquery DashboardURL {\n  webhookDashboardUrl\n}\n```\n"
        yield (
            f"The link is valid for {spoken(profile.portal.lifetime_seconds)} and can be opened any number "
            "of times. User tokens are refused. In the dashboard, enter the URL of your endpoint and select "
            "event types. An endpoint without event types gets all.\n"
        )
    elif management.dialect == "native":
        yield (
            "The operator adds endpoints through the API at `/api/v1`, or gives you a link to the dashboard, "
            f"valid for {spoken(profile.portal.lifetime_seconds)}.\n"
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
            yield f"Other paths of the same call: {others}.\n"
        if len(management.scopes) > 1:
            yield f"This requires a key with the scope {management.scopes[0]}; other keys get 403.\n"
    if management.wildcards:
        yield (
            "`*` matches every event type, and `order.*` every event type that starts with `order.`, "
            "including later ones.\n"
        )
    shown = "at any time" if profile.secrets.display == "reveal" else "only in the response that creates it"
    yield f"Each endpoint has its own signing secret, which is shown {shown}."
    if management.warning:
        yield f'The response says: "{management.warning}"'
    span = spoken(profile.secrets.overlap_seconds)
    if profile.secrets.rotation == "overlap":
        yield f"After a rotation, the old secret also signs for {span}.\n"
    else:
        yield f"A new secret takes effect when it is activated, or after {span}.\n"


def _sandbox(profile: Profile) -> Iterator[str]:
    if not profile.scenarios:
        return
    yield "## Sandbox\n\nIn a sandbox, these calls create the events that the real product would send:\n"
    for scenario in profile.scenarios:
        path = re.sub(r"\{(\w+)\}", lambda found: f"${found[1].upper()}", scenario.path)
        fields = ", ".join(f"`{name}`" for name in scenario.required)
        base = profile.management.base_paths[0] if profile.management.base_paths else ""
        more = ", ".join(f"`{name}` (default `{value}`)" for name, value in scenario.defaults.items())
        yield f"- `{scenario.method} {base}{path}` with {fields or 'any body'}" + (
            f", and optionally {more}" if more else ""
        )
        if (counter := scenario.counter) is not None:
            yield (
                f"  - each call subtracts {counter.take} from `{counter.name}`, which starts at "
                f"{counter.start}; `{counter.name}_before` is its value before the call"
            )
        for step in scenario.steps:
            after = f" after {spoken(step.after_seconds)}" if step.after_seconds else ""
            when = f" when {conditions(step.when)}" if step.when else ""
            yield f"  - `{step.type}`{after}{when}"
    yield ""


def _checklist() -> Iterator[str]:
    yield "## Before production\n"
    yield "- Use a public https URL."
    yield "- Verify every request over its raw body, and respond with 401 if verification fails."
    yield "- Respond first and process the event later."
    yield "- Ignore a message that arrives again, by its id, and respond with 2xx."
    yield "- Respond with 2xx to unknown event types."
    yield "- Log received messages, and set an alert for when none arrive.\n"


def _examples(profile: Profile) -> Iterator[str]:
    yield "## Example events\n"
    for event in profile.events:
        if event.example is not None:
            yield f"- `{event.name}`: `{json.dumps(event.example, separators=(',', ':'))}`"
    yield ""
