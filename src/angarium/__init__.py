"""Holds the version of Angarium, a webhook sending service. The service itself needs the extra `server`."""

__version__ = "0.1.0"
