"""The pytest plugin: the fixture `webhook_inbox`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from angarium.testing.inbox import WebhookInbox


@pytest.fixture
def webhook_inbox() -> Iterator[WebhookInbox]:
    """A real HTTP receiver on loopback; see `angarium.testing.inbox`."""
    from angarium.testing.inbox import WebhookInbox  # here, for runs that do not use it

    with WebhookInbox() as inbox:
        yield inbox
