"""Configuration as files: what an organization should have, and what to change for it."""
