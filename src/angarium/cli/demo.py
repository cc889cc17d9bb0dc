"""`angarium demo`: shows Angarium deliver messages, in under a minute."""

from __future__ import annotations

import asyncio
import sys


def demo() -> None:
    """Show on this machine how messages are accepted, signed, delivered and retried."""
    from rich.console import Console

    from angarium.cli.demo_story import tell

    if not asyncio.run(tell(Console())):
        sys.exit(1)
