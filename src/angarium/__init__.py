"""Angarium: a webhook sending service. Light to import; the service itself is the extra `server`."""

__version__ = "0.1.0"
