"""The paths that the listener for operators' tools serves, as a running process has them."""

from typing import Final

PATHS: Final = frozenset({"/startupz", "/livez", "/readyz", "/metrics"})
"""`test_ops.py` compares them with a running process."""
