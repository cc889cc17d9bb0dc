"""Finding the Receiver that another process is to use."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from angarium.receiver.receiver import Receiver


def located(place: str) -> Receiver:
    """The Receiver that `module:name` stands for, looked for in the working directory too."""
    module, _, name = place.partition(":")
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))
    found = getattr(importlib.import_module(module), name or "receiver")
    if not isinstance(found, Receiver):
        raise TypeError(f"{place} is not a Receiver")
    return found
