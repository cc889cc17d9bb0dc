"""What only Django does. The other tests of its view and store are those of adapters and stores."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from angarium.receiver import Event, Receiver
from angarium.testing import sign
from tests.receiver import place

BODY = b'{"type":"order.filled","data":{"id":"ord_1"}}'


@pytest.fixture
def receiver(directory: Path) -> Iterator[Receiver]:
    with contextlib.ExitStack() as stack:
        made = f"django {directory / 'django.db'}"
        place.create(made, stack)
        yield Receiver("standard", place.SECRET, store=place.open_store(made, stack))


def test_the_migrations_match_the_models(receiver: Receiver) -> None:
    from django.core.management import call_command

    call_command("makemigrations", "angarium_receiver", check=True, dry_run=True, verbosity=0)


@pytest.mark.parametrize("looked_at", ["body", "POST"])
def test_the_raw_body_is_available_after_a_middleware_has_read_it(receiver: Receiver, looked_at: str) -> None:
    from django.test import RequestFactory

    from angarium.receiver.django.view import view

    for kind in ("application/json", "application/x-www-form-urlencoded"):
        headers = {
            f"HTTP_{name.upper().replace('-', '_')}": value
            for name, value in sign(BODY, place.SECRET).items()
        }
        made: Any = RequestFactory().generic("POST", "/webhooks", BODY, kind, **headers)
        getattr(made, looked_at)
        assert view(receiver)(made).status_code == 200


def test_a_failed_handler_is_rolled_back_and_its_retry_succeeds(
    receiver: Receiver,
) -> None:
    from django.db import transaction

    from angarium.receiver.django.models import Mark

    ran: list[str] = []

    @receiver.default
    def handler(event: Event[Any]) -> None:
        with transaction.atomic():
            Mark.objects.create(source="work", resource=event.id, seen_at=0, until_at=0)
            ran.append(event.id)
            if len(ran) == 1:
                raise RuntimeError("in the middle of it")

    headers = sign(BODY, place.SECRET)
    assert [receiver.handle(BODY, headers).status for _ in range(3)] == [500, 200, 200]
    assert (len(ran), Mark.objects.filter(source="work").count()) == (2, 1)
