"""Processes that a test did not start itself."""

from __future__ import annotations

import psutil


def runs(pid: int) -> bool:
    """Whether it still does anything: one that has ended stays as a zombie until its parent looks."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
