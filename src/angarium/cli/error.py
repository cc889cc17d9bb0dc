"""Reports errors of commands: what happened, what to do, and an exit code; with `--json` as JSON.

Errors go to standard error. Only a bug of the command itself shows a traceback.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NoReturn, cast

import typer

from angarium.core.errors import AngariumError, StoreReason, StoreUnavailable


class Exit(IntEnum):
    """The exit codes of all commands."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Exit:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "done"
    FAILED = 1, "refused or failed; the command's section says what else it means"
    USAGE = 2, "wrong usage; nothing was done"
    UNREACHABLE = 3, "the server does not respond, or its database to a command that uses it"
    WOULD_CHANGE = 4, "`diff`: something would change"
    INTERRUPTED = 130, "interrupted with Ctrl-C"
    TERMINATED = 143, "ended with SIGTERM, as by a service manager"


USAGE_ERROR: Final = cast(type[Exception], typer.BadParameter.__bases__[0])
_HELP: Final = "NoArgsIsHelpError"  # only its name is the same in all releases of Typer
_ADVICE: Final = {
    401: "Check the token (--token or ANGARIUM_TOKEN). `angarium token create` prints a new one.",
    403: "This token does not allow it. Use the organization's token.",
    404: "Check the ID, and the application (--app or ANGARIUM_APP).",
    413: "Send less.",
    429: "Try again later.",
    503: "Try again later.",
}
_ELSEWHERE: Final = "The response is not Angarium's. Check the URL (--url or ANGARIUM_URL)."
_DATABASE: Final = "Check ANGARIUM_DATABASE_URL, and that PostgreSQL is running."
_INSTALL: Final = 'pip install "angarium[server]"'
_BROKEN: Final = "Try again. The server's log has the cause."


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it is reported. `code` is stable, for programs."""

    code: str
    detail: str
    advice: str = ""
    exit: Exit = Exit.FAILED


class Reported(Exception):
    """An error of a command, with what to do about it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


def note(text: str) -> None:
    """Prints to standard error."""
    print(text, file=sys.stderr, flush=True)


def guarded(run: Callable[[], Any], *, as_json: bool) -> int:
    """Runs a command; reports the errors that users can do something about. Returns the exit code."""
    try:
        with _ending_on_sigterm(), _showing_retries(as_json=as_json):
            code = run()
        return code if isinstance(code, int) else Exit.DONE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception as error:
        if type(error).__name__ == _HELP:
            print(str(error), end="")  # empty if rich has printed the help
            return Exit.USAGE
        if isinstance(error.__context__, KeyboardInterrupt):  # at a question: an Abort, as if answered no
            return Exit.INTERRUPTED
        failure = _failure(error)
        if failure is None:
            raise
    if as_json:
        said = {"code": failure.code, "detail": failure.detail, "advice": failure.advice or None}
        note(json.dumps({"error": said | {"exitCode": failure.exit}}, ensure_ascii=False))
    else:
        note("\n          ".join([f"angarium: {failure.detail}", *failure.advice.splitlines()]))
    return failure.exit


@contextmanager
def _showing_retries(*, as_json: bool) -> Iterator[None]:
    """Show a person at a terminal why a command waits."""
    if as_json or not sys.stderr.isatty():
        yield
        return
    client = logging.getLogger("angarium.client")
    handler = logging.StreamHandler(sys.stderr)
    client.addHandler(handler)
    client.setLevel(logging.INFO)
    try:
        yield
    finally:
        client.removeHandler(handler)
        client.setLevel(logging.NOTSET)


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end a command by an exception, as Ctrl-C does, so that it cleans up. The second one ends it
    at once."""

    def terminate(number: int, _: object) -> NoReturn:
        signal.signal(number, signal.SIG_DFL)
        raise SystemExit(Exit.TERMINATED)

    if threading.current_thread() is not threading.main_thread():  # where no handler can be set
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _failure(error: Exception) -> Failure | None:
    from angarium.client.error import ClientError, Refused, Unreachable

    if isinstance(error, Reported):
        return error.failure
    if isinstance(error, Unreachable):
        advice = "Check the URL (--url or ANGARIUM_URL), and that the server is running."
        return Failure("unreachable", str(error), advice, Exit.UNREACHABLE)
    if isinstance(error, Refused):
        advice = _ADVICE.get(error.status, _BROKEN if error.status >= 500 else "")
        return Failure(error.code, str(error), advice if error.from_server else _ELSEWHERE)
    if isinstance(error, ClientError):
        return Failure("failed", str(error))
    if isinstance(error, StoreUnavailable) and error.reason is StoreReason.UNREACHABLE:
        return Failure(error.wire_code, error.detail, _DATABASE, Exit.UNREACHABLE)
    if isinstance(error, AngariumError):
        return Failure(error.wire_code, error.detail)
    if isinstance(error, USAGE_ERROR):
        context, words = cast(Any, error).ctx, cast(Any, error).format_message()
        words = words.removeprefix("Invalid value: ")
        advice = f"See `{context.command_path} --help`." if context is not None else ""
        return Failure("usage", words, advice, Exit.USAGE)
    if isinstance(error, typer.Abort):
        return Failure("aborted", "nothing was done")
    if isinstance(error, ModuleNotFoundError) and not (error.name or "angarium").startswith("angarium"):
        return Failure("not_installed", f"this needs the service ({error.name} is missing)", _INSTALL)
    if isinstance(error, OSError) and error.strerror:
        place = f": {error.filename}" if error.filename else ""
        return Failure("system", f"{error.strerror}{place}")
    return None
