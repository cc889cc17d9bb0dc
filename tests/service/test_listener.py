"""Who waits is counted: so many in all, and so many of one application."""

from __future__ import annotations

from contextlib import ExitStack
from uuid import UUID

import pytest

from angarium.core.errors import Overloaded, TooManyFailures
from angarium.service.listener import MAX_OF_APPLICATION, MAX_WAITING, WaitingLimit


def test_the_number_of_waiting_listeners_is_limited() -> None:
    waiting = WaitingLimit()
    with ExitStack() as stack:
        for number in range(MAX_WAITING):
            stack.enter_context(waiting.joined(UUID(int=number // MAX_OF_APPLICATION)))
        with pytest.raises(Overloaded) as caught, waiting.joined(UUID(int=1000)):
            pass
        assert caught.value.retry_after > 0
        with pytest.raises(TooManyFailures), waiting.joined(UUID(int=0)):
            pass  # its own doing comes first
    for number in range(MAX_WAITING):  # all room is there again
        with waiting.joined(UUID(int=number)):
            pass


def test_refused_and_failed_listeners_do_not_count_towards_the_limit() -> None:
    waiting, app = WaitingLimit(), UUID(int=1)
    with ExitStack() as stack:
        for _ in range(MAX_OF_APPLICATION - 1):
            stack.enter_context(waiting.joined(app))
        for _ in range(3):
            with pytest.raises(ZeroDivisionError), waiting.joined(app):
                raise ZeroDivisionError
        with waiting.joined(app):
            for _ in range(3):
                with pytest.raises(TooManyFailures), waiting.joined(app):
                    pass
        with waiting.joined(app):
            pass
