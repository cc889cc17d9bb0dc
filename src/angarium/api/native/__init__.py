"""The native API under `/api/v1`, one module per noun, wire-compatible with Svix's server and SDKs v1 and v2."""
