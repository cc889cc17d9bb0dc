"""The native API under `/api/v1`, one module per noun, as Svix's server and SDKs v1 and v2 have it."""
