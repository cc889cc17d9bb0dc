"""Writes `llms.txt`, the index of pages for readers and language models."""

from __future__ import annotations

from collections.abc import Iterable

from angarium.core.product import Product


def index(products: Iterable[Product]) -> str:
    """The page, for these products."""
    lines = [
        "# Angarium",
        "",
        "> Webhooks: signed, retried, and every attempt logged.",
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
