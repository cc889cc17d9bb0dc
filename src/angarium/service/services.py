"""Everything a route may use, put together once by `build.py` and found at `app.state.services`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from angarium.clock import Clock

if TYPE_CHECKING:
    from angarium.service.access import Access
    from angarium.service.application import Applications
    from angarium.service.attempt import Attempts
    from angarium.service.audit import Audit
    from angarium.service.background_task import BackgroundTasks
    from angarium.service.endpoint import Endpoints
    from angarium.service.endpoint_header import EndpointHeaders
    from angarium.service.endpoint_log import EndpointLog
    from angarium.service.endpoint_secret import EndpointSecrets
    from angarium.service.event_type import EventTypes
    from angarium.service.guard import Guard
    from angarium.service.idempotency import Idempotency
    from angarium.service.intake import Intake
    from angarium.service.listener import Listeners
    from angarium.service.log import Log
    from angarium.service.message import Messages
    from angarium.service.operator import Operator
    from angarium.service.overview import Overview
    from angarium.service.play import Play
    from angarium.service.portal_link import PortalLinks
    from angarium.service.probe import Probe
    from angarium.service.product import Products
    from angarium.service.replay import Replay
    from angarium.service.token import Tokens
    from angarium.store.database import Database


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases, one object per noun."""

    clock: Clock
    database: Database
    token: Tokens
    access: Access
    guard: Guard
    audit: Audit
    portal_link: PortalLinks
    product: Products
    application: Applications
    event_type: EventTypes
    endpoint: Endpoints
    endpoint_secret: EndpointSecrets
    endpoint_header: EndpointHeaders
    endpoint_log: EndpointLog
    probe: Probe
    idempotency: Idempotency
    intake: Intake
    listener: Listeners
    message: Messages
    attempt: Attempts
    log: Log
    overview: Overview
    play: Play
    replay: Replay
    operator: Operator
    background_task: BackgroundTasks
