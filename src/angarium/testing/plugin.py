"""The pytest plugin: the fixture `webhook_inbox`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from angarium.testing.inbox import WebhookInbox


@pytest.fixture
def webhook_inbox() -> Iterator[WebhookInbox]:
    """An HTTP receiver on the loopback interface; see `angarium.testing.inbox`."""
    from angarium.testing.inbox import WebhookInbox  # not in runs that do not use it

    with WebhookInbox() as inbox:
        yield inbox
