"""Event types as OpenAPI and AsyncAPI documents."""
