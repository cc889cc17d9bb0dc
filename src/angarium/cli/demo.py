"""`angarium demo`: see it work, in under a minute."""

from __future__ import annotations

import asyncio
import sys


def demo() -> None:
    """Show messages being accepted, signed, delivered, failed, retried and delivered, on this machine."""
    from rich.console import Console

    from angarium.cli.demo_story import tell

    if not asyncio.run(tell(Console())):
        sys.exit(1)
