"""Builds operational webhooks: alerts for operators, sent as ordinary messages.

They go to the application in the operations organization whose uid is the id of the organization concerned.
To receive them, the operator creates that application and gives it an endpoint. Alerts are stored in the
transaction that causes them, so none is lost. Field names are those of Svix's operational webhooks. An unset
uid is null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from angarium.core import ids
from angarium.core.alert import OPERATIONS
from angarium.store.accept import Item
from angarium.store.endpoint import Uids
from angarium.store.message import expiry

DISABLED: Final = "endpoint.disabled"
FAILING: Final = "endpoint.failing"
_KEPT: Final = 90 * 86400.0


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert about an endpoint. `facts` go into the message next to the ids."""

    kind: str
    org_id: str
    app_id: UUID
    endpoint_id: UUID
    facts: dict[str, Any]


def items(
    alerts: Sequence[Alert],
    uids: Mapping[UUID, Uids],
    now: float,
    entropy: Callable[[int], bytes],
    history: float,
) -> list[Item]:
    """The messages for these alerts. `uids` by endpoint. Messages are kept for `history` seconds."""
    return [
        Item(
            id=ids.new(now, entropy(8)),
            org_id=OPERATIONS,
            app=alert.org_id,
            event_type=alert.kind,
            payload=msgspec.json.encode({"type": alert.kind, "data": _data(alert, uids[alert.endpoint_id])}),
            event_id=None,
            channels=(),
            tags=(),
            expires_at=expiry(now, _KEPT, history),
            key=None,
            endpoint_id=None,
            due_at=now,
        )
        for alert in alerts
    ]


def _data(alert: Alert, uids: Uids) -> dict[str, Any]:
    return {
        "appId": ids.text(ids.APPLICATION, alert.app_id),
        "appUid": uids.application,
        "endpointId": ids.text(ids.ENDPOINT, alert.endpoint_id),
        "endpointUid": uids.endpoint,
        **alert.facts,
    }
