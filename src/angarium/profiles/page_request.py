"""Of a product's page: the request as it arrives, and how it is verified."""

from __future__ import annotations

from collections.abc import Iterator

from angarium.core.product import Product
from angarium.core.profile import Profile
from angarium.core.profile_table import SigningTable
from angarium.profiles.example import SECRET, example


def request(product: Product) -> Iterator[str]:
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


def verifying(profile: Profile) -> Iterator[str]:
    yield "## Verifying\n\nAlways verify, over the raw body, before parsing it. Refuse with 401.\n"
    for scheme in profile.signing:
        yield from _scheme(scheme)


def _scheme(scheme: SigningTable) -> Iterator[str]:
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
