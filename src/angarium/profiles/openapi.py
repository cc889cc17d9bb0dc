"""Describes the webhooks of products for the OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

from angarium.core.product import Product
from angarium.profiles.example import AT, MESSAGE


def webhooks(product: Product) -> dict[str, Any]:
    """The `webhooks` of an OpenAPI document: one for each event, with a schema and an example."""
    found = {}
    for event in product.profile.events:
        name = f"{product.name}.{event.name}"
        data: dict[str, Any] = event.schema or {"type": "object"}
        if "$ref" in json.dumps(data):
            data = {"$id": f"urn:angarium:{name}", **data}  # its references stay relative to itself
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
            content["example"] = json.loads(product.message_format.body(MESSAGE, event.name, AT, payload))
        found[name] = {
            "post": {
                "summary": event.description,
                "tags": [product.profile.title],
                "requestBody": {"required": True, "content": {"application/json": content}},
                "responses": {
                    "2XX": {"description": "Any 2xx status is a success. The body does not matter."}
                },
            }
        }
    return found
