"""Builds a running process from settings. This is the composition root: it imports every part."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from angarium import __version__, profiles
from angarium.clock import Clock, SystemClock, host_time
from angarium.core.address import AddressPolicy
from angarium.core.errors import SettingsError, StoreReason, StoreUnavailable
from angarium.core.event import NO_EVENTS, Events
from angarium.core.inbox import ANYWHERE, InboxUrls
from angarium.core.keyring import Keyring
from angarium.core.probe import Link, StartStep
from angarium.core.product import STANDARD, Product, product_of
from angarium.core.quota import QuotaLimits
from angarium.core.schedule import spoken
from angarium.core.trace import NO_TRACER, Tracer
from angarium.keys import Keys, keyring, tokens
from angarium.service.product import Products
from angarium.service.usage import UsageFolder
from angarium.settings import Settings, host_and_port
from angarium.shutdown import Shutdown
from angarium.store import migrate
from angarium.store.database import Database
from angarium.store.guard import Guard
from angarium.store.retention import Retention
from angarium.telemetry.sink import Sink
from angarium.vitals import Vitals

if TYPE_CHECKING:
    from angarium.alert.channel import Channels
    from angarium.dispatch.dispatcher import Dispatcher
    from angarium.service.services import DatabaseServices, Services
    from angarium.store.accept import NewDelivery
    from angarium.store.replica import Replica
    from angarium.telemetry.measurement import Measurement

log = structlog.get_logger(__name__)

USER_AGENT = f"Angarium-Webhooks/{__version__}"
# one at a time each: intake, completer, loader, backlog poller, maintenance, fan-out, notifier, clock,
# gauges, usage
ENGINE_CONNECTIONS = 10


def products_of(settings: Settings) -> dict[str, Product]:
    """The products that this process serves. The settings define how the standard product delivers.

    Raises SettingsError if a profile is missing or invalid, or its retry schedule is longer than the history.
    """
    loaded = profiles.load_all(settings.profiles)
    standard = loaded[STANDARD]
    retries = ",".join(f"{delay:.3f}s" for delay in settings.retry_schedule)
    loaded[STANDARD] = msgspec.structs.replace(
        standard,
        delivery=msgspec.structs.replace(
            standard.delivery,
            retries=retries,
            jitter=(0.0, settings.retry_jitter),
            timeout=f"{settings.request_timeout:.3f}s",
            max_body=settings.body_limit,
        ),
        disable=msgspec.structs.replace(standard.disable, all_failing_for=f"{settings.disable_after:.3f}s"),
    )
    products = {name: product_of(profile, USER_AGENT) for name, profile in loaded.items()}
    for name, product in products.items():
        if (longest := product.schedule.longest) >= settings.history:
            raise SettingsError(
                f"ANGARIUM_HISTORY is {spoken(settings.history)}; the retry schedule of {name} takes up to "
                f"{spoken(round(longest))}"
            )
        # a revoked API key must be on record for as long as a link created with it could be valid
        if (link := loaded[name].portal.lifetime_seconds) > settings.audit_history:
            raise SettingsError(
                f"ANGARIUM_AUDIT_HISTORY is {spoken(settings.audit_history)}; the portal links of {name} "
                f"are valid for {spoken(link)}"
            )
    return products


def quota_of(settings: Settings) -> QuotaLimits:
    """The limits of applications that have no others."""
    return QuotaLimits(
        messages_soft=settings.message_soft_limit,
        messages_hard=settings.message_limit,
        endpoints_soft=settings.endpoint_soft_limit,
        endpoints_hard=settings.endpoint_limit,
    )


def retention_of(settings: Settings) -> Retention:
    """How long data is kept."""
    return Retention(
        history=timedelta(seconds=settings.history),
        audit=timedelta(seconds=settings.audit_history),
        statistics=timedelta(seconds=settings.statistics_history),
        tasks=timedelta(seconds=settings.task_history),
        usage=timedelta(seconds=settings.usage_history),
    )


@asynccontextmanager
async def running(
    settings: Settings,
    database_url: str,
    *,
    role: str,
    sandbox: bool = False,
    listening: str | None = None,
    shutdown: Shutdown | None = None,
    vitals: Vitals | None = None,
    on_hangup: Callable[[Callable[[], None]], None] | None = None,
    measurement: Measurement | None = None,
    tracer: Tracer = NO_TRACER,
) -> AsyncIterator[Any]:
    """Run all parts of a process. Yields the ASGI application (None for the role `dispatch`).

    `sandbox` also serves the scenarios of profiles. `listening`: the URL of the socket that is served. On
    exit, attempts in flight are completed, then the pools are closed. When `shutdown` begins, the dispatcher
    stops sending; when it is closing, requests that run for minutes end. `vitals` gets what probes need.
    `on_hangup` gets a function that reads keys from their files again. `measurement`: what measures this
    process, if anything does. `tracer`: what traces it. Raises ProcessRefused if the database may not be used
    by this process.
    """
    shutdown, vitals = shutdown or Shutdown(), vitals or Vitals()
    measured = NO_EVENTS if measurement is None else measurement.events
    direct, prepared = settings.direct_url, settings.database_prepared_statements
    clock = SystemClock()
    ring, inboxes = keyring(settings), inbox_urls(settings, role, listening)
    policy = AddressPolicy(settings.allowed_subnets, trusts=None if inboxes is None else inboxes.includes)
    products = products_of(settings)
    guard = Guard()
    async with _until_refused(guard), AsyncExitStack() as stack:
        # intake and dispatch have their own connections, so that readers cannot block them
        engine = await Database.connect(
            database_url,
            size=ENGINE_CONNECTIONS,
            direct_url=direct,
            prepared=prepared,
            guard=guard,
            events=measured,
        )
        stack.push_async_callback(engine.close)
        watching = asyncio.create_task(guard.watch(engine, shutdown.begin), name="guard")
        stack.callback(watching.cancel)
        vitals.done(StartStep.CONNECTION)
        vitals.watch(Link.ENGINE, lambda: engine.answered_at, ask=engine.time, fresh=engine.fresh_time)
        vitals.watch_schema(partial(_misfit, engine))
        vitals.watch_restore(lambda: guard.restore)
        # the embedded PostgreSQL shares the clock of this host
        reference = host_time if settings.database_url is None else engine.time
        clock.anchor(await reference())
        following = asyncio.create_task(clock.follow(reference), name="clock")
        stack.callback(following.cancel)
        vitals.watch_parts(lambda: ["clock"] if following.done() else [])
        alerts = channels(settings, stack, None if inboxes is None else inboxes.base, sandbox=sandbox)
        folder = UsageFolder(
            *(engine, clock, os.urandom, Products(engine, clock, products)),
            quota=quota_of(settings),
            history=settings.history,
            audience=alerts.audience,
            events=measured,
        )
        events: Events = Sink([measured, folder])
        if role == "api":
            from angarium.dispatch.notifier import Notifier
            from angarium.dispatch.peer.sharing import Sharing

            notifier = Notifier(engine)
            await notifier.start()
            stack.push_async_callback(notifier.stop)
            sharing = Sharing(clock, os.urandom, ring, notifier)
            stack.callback(sharing.close)
            reading = asyncio.create_task(sharing.follow(engine), name="routes")
            stack.callback(reading.cancel)
            vitals.watch_parts(lambda: ["routes"] if reading.done() else [])
            clock.on_jump(lambda _: sharing.clock_jumped())
            hand_over: Callable[[Sequence[NewDelivery], float], None] = sharing.give
            fan_out: Callable[[], None] = notifier.fan_out
            waiting: list[Callable[[], StoreReason | None]] = []
        else:
            dispatcher = _dispatcher(
                settings, stack, engine, clock, ring, policy, products, guard, alerts, events, tracer
            )
            if measurement is not None:
                measurement.watch_dispatcher(dispatcher.state, lambda: dispatcher.leads)
            hand_over, fan_out = dispatcher.hand_over, dispatcher.fan_out
            waiting = [lambda: dispatcher.waiting]
            clock.on_jump(dispatcher.clock_jumped)
        folder.hand_over = hand_over
        folding = asyncio.create_task(folder.run(), name="usage")
        stack.callback(folding.cancel)
        vitals.watch_parts(lambda: ["usage"] if folding.done() else [])
        if measurement is not None:
            measurement.watch_pools([engine])
            measurement.watch_restore(lambda: (guard.hold is not None, guard.pace))
            measurement.start(stack, engine, clock, timedelta(seconds=settings.history), ring)
        keys = Keys(settings, ring)
        if on_hangup is not None:
            on_hangup(keys.hung_up)
            keys.read_again()  # they may have changed before
        if role == "dispatch":
            await _start(dispatcher, stack, shutdown, vitals)
            yield None
            return
        # not needed by the role `dispatch`
        from angarium.dispatch.url_check_transport import UrlCheckTransport
        from angarium.service.intake import Intake
        from angarium.service.services import Services

        database = await Database.connect(
            database_url,
            size=settings.database_pool,
            direct_url=direct,
            prepared=prepared,
            guard=guard,
            pool_name="api",
            events=measured,
            planned=True,
        )
        stack.push_async_callback(database.close)
        vitals.watch(Link.POOL, lambda: database.answered_at, ask=database.time, fresh=database.fresh_time)
        replica = await _replica(settings, stack, database, clock)
        product = Products(database, clock, products)
        intake = Intake(
            *(engine, clock, os.urandom, hand_over, fan_out, product),
            history=settings.history,
            accepts=lambda: guard.accepts,
            events=events,
            quota=quota_of(settings),
            tracer=tracer,
        )
        if measurement is not None:
            measurement.watch_pools([database])
            measurement.watch_intake(lambda: intake.queued)
        url_check_transport = UrlCheckTransport(
            policy=policy, response_limit=settings.response_limit, now=clock.now
        )
        stack.push_async_callback(url_check_transport.close)
        services = Services(
            database,
            clock,
            os.urandom,
            ring,
            token=keys.used_by(tokens(settings, database, clock)),
            product=product,
            intake=intake,
            transport=url_check_transport,
            inboxes=inboxes,
            policy=policy,
            https_only=settings.https_only,
            quota=quota_of(settings),
            folder=folder,
            events=events,
            waiting=waiting,
            replica=replica,
            hold=lambda: guard.waiting,
            mails=(settings.smtp_url is not None or sandbox) and inboxes is not None,
        )
        await services.provision.refresh()
        app = _app(
            settings, services, sandbox=sandbox, stopping=shutdown.closing, events=events, tracer=tracer
        )
        # only now: creating the application takes a second, in which the lanes taken would be idle
        if role != "api":
            await _start(dispatcher, stack, shutdown, vitals)
        await intake.start()
        stack.push_async_callback(intake.stop)
        vitals.watch_parts(lambda: [] if intake.runs else ["intake"])
        yield app


@asynccontextmanager
async def _until_refused(guard: Guard) -> AsyncIterator[None]:
    """Raises the reason for which the process had to stop, once it has stopped."""
    try:
        yield
    except StoreUnavailable as error:
        raise guard.refusal or error from error
    if guard.refusal is not None:
        raise guard.refusal


async def _start(dispatcher: Dispatcher, stack: AsyncExitStack, shutdown: Shutdown, vitals: Vitals) -> None:
    """Start a dispatcher. It retires when `shutdown` begins, and is stopped by the stack."""
    await dispatcher.start()
    stack.push_async_callback(dispatcher.stop)

    async def retire() -> None:
        await shutdown.begun.wait()
        await dispatcher.retire(shutdown)

    retiring = asyncio.create_task(retire(), name="retire at shutdown")
    stack.callback(retiring.cancel)
    await dispatcher.first_share()
    ownership = dispatcher.ownership
    vitals.watch(Link.LOCKS, lambda: ownership.heard_at, fresh=ownership.ask_afresh)
    vitals.watch_parts(lambda: dispatcher.ended)


async def _misfit(database: Database) -> str | None:
    """Why the schema does not fit this release."""
    async with database.connection() as connection:
        try:
            await migrate.check(connection)
        except SettingsError as misfit:
            return misfit.detail
    return None


async def _replica(
    settings: Settings, stack: AsyncExitStack, database: Database, clock: Clock
) -> Replica | None:
    """The read replica for lists and pages, if one is configured."""
    if settings.replica_url is None:
        return None
    from angarium.store.replica import Replica

    standby = await Database.connect(
        settings.replica_url,
        size=settings.database_pool,
        direct_url=settings.direct_url and settings.replica_url,
        prepared=settings.database_prepared_statements,
        standby=True,
        planned=True,
    )
    replica = Replica(database, standby, clock, lag=settings.database_replica_lag)
    replica.start()
    stack.push_async_callback(replica.stop)
    database.read_from(replica)
    return replica


@asynccontextmanager
async def offline(settings: Settings, database_url: str) -> AsyncIterator[DatabaseServices]:
    """The use cases on a database, without a server."""
    from angarium.service.services import DatabaseServices

    clock = SystemClock()
    database = await Database.connect(database_url, size=2)
    try:
        clock.anchor(await database.time())
        products = Products(database, clock, products_of(settings))
        yield DatabaseServices(database, clock, os.urandom, products)
    finally:
        await database.close()


def _dispatcher(
    settings: Settings,
    stack: AsyncExitStack,
    database: Database,
    clock: Clock,
    ring: Keyring,
    addresses: AddressPolicy,
    products: Mapping[str, Product],
    guard: Guard,
    alerts: Channels,
    events: Events,
    tracer: Tracer,
) -> Dispatcher:
    """A dispatcher, not started yet. The stack closes its sender."""
    from angarium.dispatch.dispatcher import Dispatcher
    from angarium.dispatch.lane_registry import DispatchLimits
    from angarium.dispatch.transport.sender import Sender

    sender = Sender(
        policy=addresses,
        response_limit=settings.response_limit,
        connections=settings.concurrency,
        now=clock.now,
    )
    stack.push_async_callback(sender.close)
    policy = DispatchLimits(
        in_flight=settings.endpoint_concurrency,
        in_flight_total=settings.concurrency,
        longest=max(product.timeout for product in products.values()),
    )
    return Dispatcher(
        *(database, clock, os.urandom, sender, ring, products, policy),
        retention=retention_of(settings),
        guard=guard,
        channels=alerts,
        events=events,
        tracer=tracer,
        peer_address=host_and_port(settings.peer_listen) if settings.peer_listen else None,
    )


def channels(
    settings: Settings, stack: AsyncExitStack, base: str | None, *, sandbox: bool = False
) -> Channels:
    """Where alerts to people go. `base`: the URL of links in mails. `sandbox`: mails are logged if there is
    no mail server. The stack closes connections."""
    from angarium.alert.channel import Channels, MailLog
    from angarium.alert.hook import HookForm, Webhook
    from angarium.alert.smtp import MailChannel, MailServer, Smtp
    from angarium.dispatch.url_check_transport import UrlCheckTransport

    mail: MailChannel | None = MailLog() if sandbox else None
    if settings.smtp_url is not None:
        mail = Smtp(MailServer.of(settings.smtp_url.get_secret_value()))
    webhook = post = None
    if settings.alert_webhook_url is not None:
        webhook = Webhook(
            settings.alert_webhook_url.get_secret_value(), HookForm(settings.alert_webhook_form)
        )
        transport = UrlCheckTransport(policy=ANYWHERE, response_limit=1024, connections=2)
        stack.push_async_callback(transport.close)
        post = transport.post
    sender = settings.mail_from or "Angarium <angarium@localhost.localdomain>"
    return Channels(mail, sender, settings.alert_mail_to, webhook, post, base)


def inbox_urls(settings: Settings, role: str, listening: str | None) -> InboxUrls | None:
    """The URLs of Play's inboxes. Without a public URL they are known only if this process also dispatches:
    otherwise the dispatcher may be on another host."""
    base = settings.public_url or (listening if role == "all" else None)
    return None if base is None else InboxUrls(base)


def _app(
    settings: Settings,
    services: Services,
    *,
    sandbox: bool,
    stopping: asyncio.Event | None,
    events: Events,
    tracer: Tracer,
) -> Any:
    from angarium.api.app import create_app
    from angarium.portal import app as portal

    return create_app(
        services,
        body_limit=settings.body_limit,
        base_url=settings.public_url,
        sandbox=sandbox,
        egress=[str(network) for network in settings.egress_addresses],
        pages=portal.routes(),
        frame_ancestors=settings.frame_ancestors,
        stopping=stopping,
        events=events,
        tracer=tracer,
    )
