"""Who may do what in the products' own APIs: every operation, for everyone who might try."""

from __future__ import annotations

import httpx

from angarium.core import ids
from tests.api.operation import KEYED, NOTHING, PLAYED
from tests.api.sample import SampleServer, basic, bearer, key_headers


def _says(answer: httpx.Response, product: str) -> int:
    """The status; GraphQL has its own in the body."""
    if product == "bloom" and answer.status_code == 200:
        code = (answer.json().get("errors") or [{}])[0].get("extensions", {}).get("code")
        return {"FORBIDDEN": 403, None: 200}.get(code, 400)
    return answer.status_code


async def test_a_products_api_knows_its_own_keys_only(sample: SampleServer) -> None:
    token = sample.services.token
    wrong = []
    for product in KEYED:
        gone = sample.services.api_key.draw("gone_", with_secret=product == "bluum")
        org_id = f"org_{product}"
        (customer, *_) = await sample.services.application.page(org_id, None, ascending=True, limit=1)
        await sample.services.api_key.register(
            gone, org_id=org_id, app_id=customer.id, scope=sample.keys[product][0].scope, name="gone"
        )
        (newest,) = [key for key in await sample.services.api_key.keys(org_id) if key.name == "gone"]
        await sample.services.api_key.revoke(org_id, newest.id)
        strangers = {
            "nobody": {},
            "a guess": basic("a", "b") if product == "bluum" else bearer("guess"),
            "a guess at the secret": basic(sample.keys["bluum"][0].shown.key, "guess"),
            "an organization's token": bearer(token.for_organization(org_id)),
            "an application's token": bearer(token.for_application(org_id, customer.id)),
            "a revoked key": basic(gone.key, gone.secret) if product == "bluum" else bearer(gone.key),
        }
        for other in KEYED.keys() - {product}:
            strangers[f"a key of {other}"] = key_headers(other, sample.keys[other][0])
            strangers[f"a key of {other}, shown our way"] = key_headers(product, sample.keys[other][0])
        rows = KEYED[product] | PLAYED[product]
        rows |= {row: None for row, owner in NOTHING.items() if owner == product}
        for who, headers in strangers.items():
            for (method, path), body in rows.items():
                answer = await sample.call(method, path, headers, body)
                if answer.status_code != 401:
                    wrong.append(f"{product}, {who}: {method} {path}: {answer.status_code}")
    assert wrong == []


async def test_a_key_of_another_scope_manages_nothing(sample: SampleServer) -> None:
    wrong = []
    for product in KEYED:
        for key in sample.keys[product][1:]:
            for (method, path), body in KEYED[product].items():
                answer = await sample.call(method, path, key_headers(product, key), body)
                if _says(answer, product) != 403:
                    wrong.append(f"{product}, {key.scope}: {method} {path}: {answer.status_code}")
    assert wrong == []


async def test_a_customer_manages_own_objects_and_finds_no_others(sample: SampleServer) -> None:
    wrong = []
    for product in KEYED:
        headers = key_headers(product, sample.keys[product][0])
        profile = sample.services.product.named(product).profile
        # the ids of another organization's things, in the product's own words
        endpoint, message = (
            ids.parse(ids.ENDPOINT, sample.places["endpoint_id"]),
            ids.parse(ids.MESSAGE, sample.places["msg_id"]),
        )
        assert endpoint is not None
        assert message is not None
        places = {
            "webhook_id": ids.text(profile.ids.endpoint, endpoint),
            "event_id": ids.text(profile.ids.message, message),
        }
        for (method, path), body in KEYED[product].items():
            answer = await sample.call(method, path, headers, body, places)
            expected = 404 if "{" in path else None
            if _says(answer, product) != expected if expected else not answer.is_success:
                wrong.append(f"{product}: {method} {path}: {answer.status_code}: {answer.text}")
    assert wrong == []
