"""Assembles the use cases that routes call. `build.py` creates them once, at `app.state.services`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from angarium.clock import Clock
from angarium.core.address import AddressPolicy
from angarium.core.errors import StoreReason
from angarium.core.event import NO_EVENTS, Events
from angarium.core.inbox import InboxUrls
from angarium.core.keyring import Keyring
from angarium.core.overdue import FaultHold
from angarium.core.quota import NO_LIMITS, QuotaLimits
from angarium.service.api_key import ApiKeys
from angarium.service.application import Applications
from angarium.service.attempt import Attempts
from angarium.service.audit import Audit
from angarium.service.contact import Contacts
from angarium.service.endpoint import Endpoints
from angarium.service.erasure import Erasures
from angarium.service.event_type import EventTypes
from angarium.service.export import Exports
from angarium.service.health import DatabaseHealth
from angarium.service.idempotency import Idempotency
from angarium.service.intake import Intake
from angarium.service.listener import Listeners
from angarium.service.log import Log, Messages
from angarium.service.login import LoginThrottle, PortalLinks
from angarium.service.operator import Operator
from angarium.service.overview import Overdue, Overview
from angarium.service.play import Play
from angarium.service.product import Products, Provision
from angarium.service.quota import Quotas
from angarium.service.replay import BackgroundTasks, Replay
from angarium.service.token import OrganizationTokens, Tokens
from angarium.service.url_check import CheckTransport, UrlChecker
from angarium.service.usage import Usage, UsageFolder
from angarium.store.database import Database
from angarium.store.replica import Replica


class DatabaseServices:
    """The use cases that need only a database, one object per noun: commands have them without a server."""

    def __init__(
        self, database: Database, clock: Clock, entropy: Callable[[int], bytes], product: Products
    ) -> None:
        self.clock = clock
        self.database = database
        self.product = product
        self.provision = Provision(database, clock, product, entropy)
        self.api_key = ApiKeys(database, clock, entropy)
        self.organization_token = OrganizationTokens(database, clock, entropy)
        self.audit = Audit(database)
        self.application = Applications(database, clock, entropy)
        self.erasure = Erasures(database, clock, entropy)
        self.event_type = EventTypes(database, clock)
        self.replay = Replay(database, clock, entropy)
        self.background_task = BackgroundTasks(database, clock, entropy)
        self.message = Messages(database, clock)
        self.attempt = Attempts(database, clock)
        self.log = Log(database, clock, product)
        self.overview = Overview(database, clock)
        self.overdue = Overdue(database, clock)
        self.operator = Operator(database, clock, self.replay)


class Services(DatabaseServices):
    """All use cases. Those of a server also need keys, addresses, and the writers that run in it."""

    def __init__(
        self,
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
        quota: QuotaLimits = NO_LIMITS,
        folder: UsageFolder | None = None,
        events: Events = NO_EVENTS,
        waiting: Sequence[Callable[[], StoreReason | None]] = (),
        replica: Replica | None = None,
        hold: Callable[[], FaultHold | None] = lambda: None,
        mails: bool = False,
    ) -> None:
        """`inboxes`: URLs of Play's inboxes, None if Play is not available. `waiting`: writers other than
        intake that report why they cannot write. `replica`: the replica that `database` reads lists from.
        `hold`: why all deliveries wait, or None. `quota`: the limits of applications that have no others.
        `folder`: adds up what they use.
        `mails`: whether some process sends mails with links to this server."""
        super().__init__(database, clock, entropy, product)
        self.overdue = Overdue(database, clock, hold)
        self.replica = replica
        self.health = DatabaseHealth(database, clock, [lambda: intake.waiting, *waiting], hold)
        self.token = token
        self.login_throttle = LoginThrottle(clock)
        self.portal_link = PortalLinks(token)
        self.idempotency = Idempotency(database, clock, entropy, keyring)
        self.export = Exports(database, clock, entropy, keyring)
        self.contact = Contacts(database, clock, entropy, keyring, available=mails)
        self.endpoint = Endpoints(
            *(database, clock, entropy, keyring),
            policy=policy,
            https_only=https_only,
            products=product,
            quota=quota,
            events=events,
        )
        self.quota = Quotas(database, clock, product, entropy, defaults=quota)
        self.usage = Usage(
            database, clock, folder or UsageFolder(database, clock, entropy, product, quota=quota), entropy
        )
        self.url_check = UrlChecker(clock, entropy, transport, policy=policy, https_only=https_only)
        self.play = Play(database, clock, entropy, keyring, product, inboxes)
        self.intake = intake
        self.listener = Listeners(
            database, clock, entropy, self.endpoint, self.replay, product, held=lambda: hold() is not None
        )
