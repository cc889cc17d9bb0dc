"""Writes the part of a product's page about the request and its verification."""

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
            "{id}": "the id of the message, the same on every retry: use it to detect duplicates",
            "{type}": "the event type",
            "{time}": "the time of the event",
            "{data}": "the data of the event",
        }
        for key, part in product.profile.envelope.items():
            yield f"- `{key}`: {meanings[part]}"
        yield ""
    families = [scheme.family for scheme in product.profile.signing if scheme.family is not None]
    if families:
        yield f"The header `{families[0]}-id` is the id of the message: the same on every retry and resend.\n"


def verifying(profile: Profile) -> Iterator[str]:
    yield (
        "## Verifying\n\nVerify every request over the raw body, before you parse it. If verification fails, "
        "respond with 401.\n"
    )
    for scheme in profile.signing:
        yield from _scheme(scheme)


def _scheme(scheme: SigningTable) -> Iterator[str]:
    if scheme.family is not None:
        library = "svix" if scheme.family == "svix" else "standardwebhooks"
        yield (
            f"The `{library}` libraries verify `{scheme.family}-signature` with the secret as it is "
            f"shown. By hand: a signature is the base64 of the HMAC-SHA256 of `{scheme.family}-id`, "
            f"a dot, `{scheme.family}-timestamp`, a dot and the body. The key is the decoded base64 after "
            "`whsec_`. The header has one or more signatures, each after `v1,`, separated by spaces. Refuse "
            "timestamps that are off by more than five minutes.\n"
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
