"""Assembles the use cases that routes call. `build.py` creates them once, at `app.state.services`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from angarium.clock import Clock
from angarium.core.address import AddressPolicy
from angarium.core.errors import StoreReason
from angarium.core.inbox import InboxUrls
from angarium.core.keyring import Keyring
from angarium.service.api_key import ApiKeys
from angarium.service.application import Applications
from angarium.service.attempt import Attempts
from angarium.service.audit import Audit
from angarium.service.endpoint import Endpoints
from angarium.service.event_type import EventTypes
from angarium.service.health import DatabaseHealth
from angarium.service.idempotency import Idempotency
from angarium.service.intake import Intake
from angarium.service.listener import Listeners
from angarium.service.log import Log, Messages
from angarium.service.login import LoginThrottle, PortalLinks
from angarium.service.operator import Operator
from angarium.service.overview import Overdue, Overview
from angarium.service.play import Play
from angarium.service.product import Products
from angarium.service.replay import BackgroundTasks, Replay
from angarium.service.token import Tokens
from angarium.service.url_check import CheckTransport, UrlChecker
from angarium.store.database import Database
from angarium.store.replica import Replica


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases, one object per noun."""

    clock: Clock
    database: Database
    health: DatabaseHealth
    token: Tokens
    api_key: ApiKeys
    login_throttle: LoginThrottle
    audit: Audit
    portal_link: PortalLinks
    product: Products
    application: Applications
    event_type: EventTypes
    endpoint: Endpoints
    url_check: UrlChecker
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
    overdue: Overdue
    background_task: BackgroundTasks
    replica: Replica | None


def assembled(
    database: Database,
    clock: Clock,
    entropy: Callable[[int], bytes],
    keyring: Keyring,
    *,
    token: Tokens,
    product: Products,
    intake: Intake,
    transport: CheckTransport,
    inboxes: InboxUrls | None,
    policy: AddressPolicy,
    https_only: bool,
    endpoint_limit: int,
    waiting: Sequence[Callable[[], StoreReason | None]] = (),
    replica: Replica | None = None,
) -> Services:
    """All use cases over one database. `inboxes`: URLs of Play's inboxes, None if Play is not available.
    `waiting`: writers other than intake that report why they cannot write. `replica`: the replica that
    `database` reads lists from."""
    endpoint = Endpoints(
        database, clock, entropy, keyring, policy=policy, https_only=https_only, limit=endpoint_limit
    )
    replay = Replay(database, clock, entropy)
    return Services(
        clock=clock,
        database=database,
        health=DatabaseHealth(database, clock, [lambda: intake.waiting, *waiting]),
        token=token,
        api_key=ApiKeys(database, clock, entropy),
        login_throttle=LoginThrottle(clock),
        audit=Audit(database),
        portal_link=PortalLinks(token),
        product=product,
        application=Applications(database, clock, entropy),
        event_type=EventTypes(database, clock),
        endpoint=endpoint,
        url_check=UrlChecker(clock, entropy, transport, policy=policy, https_only=https_only),
        idempotency=Idempotency(database, clock, entropy, keyring),
        intake=intake,
        listener=Listeners(database, clock, entropy, endpoint, replay, product),
        message=Messages(database, clock),
        attempt=Attempts(database, clock),
        log=Log(database, clock, product),
        overview=Overview(database, clock),
        play=Play(database, clock, entropy, keyring, product, inboxes),
        replay=replay,
        operator=Operator(database, clock, replay),
        overdue=Overdue(database, clock),
        background_task=BackgroundTasks(database, clock, entropy),
        replica=replica,
    )
