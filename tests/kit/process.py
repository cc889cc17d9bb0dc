"""Processes of tests and benchmarks, which may end by themselves at any moment."""

from __future__ import annotations

import contextlib
import signal

import psutil


def runs(pid: int) -> bool:
    """Whether it still does anything: one that has ended stays as a zombie until its parent looks."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it has started, and they in turn; none if it has ended."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def signal_family(pid: int, *numbers: signal.Signals) -> None:
    """Send each signal in turn to a process and all that it has started. Processes that have ended are
    skipped: a test that cleans up after a failure reports that failure, not that nothing is left to end."""
    members = family(pid)
    for number in numbers:
        for one in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)


def workers(supervisor: int) -> list[psutil.Process]:
    """The processes of `--processes N` that do the work. The one that forks them is between."""
    found = []
    for child in psutil.Process(supervisor).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended, perhaps without its parent knowing
            if "forkserver" in " ".join(child.cmdline()):
                found += child.children()
    return found
