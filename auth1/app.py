"""Composition: Settings -> Services -> App(ROUTES)."""

import asyncio
import contextlib
import functools
import gc
import importlib
import logging
import os
import random
from collections.abc import Awaitable, Callable, Sequence

from auth1 import __version__, health, metrics, retention, secret_renewal
from auth1.audit.sealing import heads, seals
from auth1.authn.own_hosts import OwnHosts
from auth1.authn.tenants import TenantCache
from auth1.challenges import messages
from auth1.config.checklist import check_settings
from auth1.config.settings import Settings, load_settings
from auth1.config.urls import host_of, origin_of
from auth1.core.crypto import Keyring
from auth1.core.http.asgi import App
from auth1.core.http.cors import Cors
from auth1.core.http.router import Route
from auth1.core.outbound.guard import Guard
from auth1.core.outbound.text_records import TextResolver
from auth1.core.postgres import Postgres
from auth1.core.postgres.probe import DatabaseProbe
from auth1.core.processes import listening, signals
from auth1.core.processes.tasks import cancel_all
from auth1.core.ratelimit import RateLimiter
from auth1.core.telemetry import tracing
from auth1.core.telemetry.log import Log, LogHandler
from auth1.errors import Unavailable
from auth1.events.stream import EventStreams
from auth1.fraud import verification
from auth1.fraud.datasets import store as datasets
from auth1.fraud.decisions import log as decisions
from auth1.fraud.decisions.attacks import AttackLog
from auth1.fraud.decisions.log import DecisionLog
from auth1.fraud.exposures import acquire as exposures
from auth1.fraud.exposures.acquire import Exposures
from auth1.fraud.lists.cache import ListCache
from auth1.fraud.sources import FraudSources
from auth1.hooks.caller import HookCaller
from auth1.idempotency import run_idempotent
from auth1.messaging import handlers, outbox
from auth1.messaging.dispatcher import Messenger
from auth1.messaging.outbox import Outbox
from auth1.messaging.providers import configured
from auth1.messaging.providers.console import Console, OnMessage
from auth1.messaging.providers.sns import Sns
from auth1.oauth import backchannel
from auth1.oauth.backchannel import LogoutSender
from auth1.routes import ROUTES
from auth1.services import Services, new_redis, new_replica
from auth1.sessions import unanswered
from auth1.sessions.cache import SessionCache
from auth1.sessions.tokens import Signer
from auth1.signing import rotation
from auth1.signing.key_cache import SigningKeys
from auth1.webhooks.delivery import fan_out, traces
from auth1.webhooks.delivery import worker as delivery_worker
from auth1.webhooks.delivery.worker import DeliveryWorker

SOON_S = 1.0
JITTER = 0.2  # of the interval of a job: workers of many instances do not run it at the same time
READY_CONNECTIONS = 4  # per worker, open before it accepts requests
YOUNG_OBJECTS = 10_000  # of a worker, before the garbage collector looks for cycles among them; Python's own is 700


def make_app() -> App[Services]:
    """Create the application of a worker process; granian calls this in each."""
    relax_collector()
    settings = load_settings(os.environ)
    log = Log(settings.log_level, format=settings.log_format, events=settings.log_events)
    logging.getLogger().addHandler(LogHandler(log))
    for finding in check_settings(settings):
        if finding.status != "ok":
            log.warn(finding.message, check=finding.check, fix=finding.fix)
    return build_app(settings, log)


def relax_collector() -> None:
    """Make the garbage collector run less often in this process.

    Logins create no reference cycles, but the objects of their requests make it run (docs/performance.md).
    """
    gc.set_threshold(YOUNG_OBJECTS)


def build_app(
    settings: Settings, log: Log, *, routes: Sequence[Route] = ROUTES, on_console: OnMessage | None = None
) -> App[Services]:
    """Create the application; its services start with it. `on_console` receives what the console prints."""

    async def finish() -> None:
        app.services.streams.end_all()
        await app.finish()

    async def start_worker() -> Services:
        services = await start_services(settings, log, on_console=on_console)
        signals.on_drain(services.stopping.set)
        signals.on_finish(finish)
        signals.stop_with_parent()
        signals.unblock_after_startup()
        listening.begin()
        return services

    app = App(
        [route._replace(deadline_s=route.deadline_s * settings.timeout_scale) for route in routes],
        log,
        Cors(settings.cors_origins, origin_of(settings.app_url)),
        settings.trusted_proxies,
        start=start_worker,
        stop=stop_services,
        once=run_idempotent.run_idempotent,
        on_trace=traces.keep_trace,
        sites=lambda services: services.own_hosts.sites,
    )
    return app


async def start_services(
    settings: Settings, log: Log, *, background: bool = True, on_console: OnMessage | None = None
) -> Services:
    """Create the services. Raises Unavailable without a database; a worker (`background`) waits for it."""
    redis = new_redis(settings, log)
    postgres = Postgres(
        settings.database_url,
        log,
        size=settings.pool_size_per_worker,
        statement_cache_size=settings.database_statement_cache_size,
        ready=READY_CONNECTIONS if background else 1,
        timeout_scale=settings.timeout_scale,
    )
    replica = new_replica(settings, log, postgres)
    console = Console(log, on_console)
    sms = configured.sms_providers(settings, console)
    keyring = Keyring(settings.jwt_secret, settings.jwt_secret_previous)
    messenger = Messenger(postgres, log, {"sms": sms, "email": configured.email_providers(settings, console)})
    render = functools.partial(messages.render_claimed, keyring, settings.app_url)
    limiter = RateLimiter(redis)
    tenants = TenantCache(postgres, redis, redis.listener("auth1-listener"))
    guard = Guard(settings.webhook_allowed_networks, own_host=host_of(settings.app_url), own_port=settings.port)
    fraud_exposures = Exposures(
        redis, postgres, limiter, exposure_budget=settings.fraud_exposure_budget, workers=settings.workers
    )
    services = Services(
        settings=settings,
        log=log,
        keyring=keyring,
        postgres=postgres,
        replica=replica,
        database_probe=DatabaseProbe(
            settings.database_url,
            health.DATABASE_STATE,
            statement_cache_size=settings.database_statement_cache_size,
        ),
        redis=redis,
        limiter=limiter,
        guard=guard,
        tenants=tenants,
        own_hosts=OwnHosts(postgres, tenants, host_of(settings.app_url)),
        text_records=TextResolver(settings.dns_servers),
        attacks=AttackLog(postgres, log),
        decisions=DecisionLog(postgres, log),
        fraud_sources=FraudSources(settings, postgres, keyring, log),
        exposures=fraud_exposures,
        hooks=HookCaller(guard, keyring, time_scale=settings.timeout_scale),
        messenger=messenger,
        outbox=Outbox(postgres, log, messenger, settings.sms_rates, render, fraud_exposures),
        logouts=LogoutSender(guard),
        signing_keys=SigningKeys(postgres, keyring, log),
        signer=Signer(keyring, settings.jwt_algorithm, settings.signing_keys, settings.app_url, postgres.now),
        sessions=SessionCache(postgres, redis),
        lists=ListCache(postgres),
        streams=EventStreams(postgres, log),
        deliveries=DeliveryWorker(postgres, keyring, log, guard, redis=redis),
    )
    await postgres.start(required=not background)
    if replica is not None:
        await replica.postgres.start(required=False)
        await replica.measure()
    if not await redis.start():
        log.warn("Redis is unavailable; rate limits fall back to per-process counters")
    if background:
        await _start_background(services, [provider for provider in sms if isinstance(provider, Sns)])
    return services


async def _start_background(services: Services, cold: list[Sns]) -> None:
    """Start the background jobs of a worker."""
    metrics.TENANTS.limit = services.settings.metrics_tenants
    if services.settings.tracing:
        export = await asyncio.to_thread(importlib.import_module, "auth1.core.telemetry.tracing_export")
        tracing.set_tracer(export.OpenTelemetryTracer())
    await services.tenants.start()
    with contextlib.suppress(Unavailable):
        await services.own_hosts.refresh()
        await services.fraud_sources.refresh()
    metrics.BUILD_INFO[__version__].set(1)
    services.deliveries.start()
    if services.replica is not None:
        measure = services.replica.measure
        services.background.append(_every(services, SOON_S, lambda _: measure()))
    services.background.extend(
        (
            _every(services, outbox.INTERVAL_S, lambda app: app.outbox.run_once()),
            _every(services, SOON_S, lambda app: app.limiter.flush_releases()),
            _every(services, exposures.INTERVAL_S, lambda app: app.exposures.run_once()),
            _every(services, SOON_S, lambda app: app.tenants.retry_publish()),
            _every(services, SOON_S, lambda app: app.tenants.refresh_moved()),
            _every(services, SOON_S, lambda app: app.own_hosts.refresh()),
            _every(services, SOON_S, lambda app: app.sessions.flush_pending()),
            _every(services, SOON_S, lambda app: unanswered.flush(app.redis)),
            _every(services, SOON_S, health.measure_memory),
            _every(services, health.RANK_EVERY_S, health.rank_tenants),
            _every(services, datasets.INTERVAL_S, lambda app: app.fraud_sources.refresh()),
            _every(services, handlers.INTERVAL_S, handlers.aggregate_statistics),
            _every(services, SOON_S, lambda app: app.decisions.flush()),
            _every(services, SOON_S, verification.settle),
            _every(services, SOON_S, lambda app: app.attacks.flush()),
            _every(services, decisions.INTERVAL_S, decisions.settle_outcomes),
            _every(services, decisions.INTERVAL_S, lambda app: app.attacks.end_attacks()),
            _every(services, retention.INTERVAL_S, retention.run_once),
            _every(services, rotation.INTERVAL_S, rotation.rotate_keys),
            _every(services, backchannel.INTERVAL_S, lambda app: app.logouts.run_once(app)),
            _every(services, heads.INTERVAL_S, heads.write_heads),
            asyncio.create_task(seals.seal_until_cancelled(services)),
            asyncio.create_task(fan_out.run(services)),
            asyncio.create_task(secret_renewal.renew_secrets(services)),
            _every(services, delivery_worker.MEASURE_EVERY_S, delivery_worker.measure),
            *(asyncio.create_task(configured.warm_up(provider, services.log)) for provider in cold),
        )
    )


async def stop_services(services: Services) -> None:
    """Stop the background jobs, then close the services."""
    await services.streams.stop()
    await cancel_all(services.background)
    await services.deliveries.stop()
    if services.background:
        with contextlib.suppress(Unavailable):
            await heads.write_heads(services)
    await services.limiter.flush_releases()
    await services.exposures.stop()
    with contextlib.suppress(Unavailable):
        await services.decisions.flush()
        await services.attacks.flush()
    await services.fraud_sources.close()
    await services.hooks.close()
    await services.logouts.close()
    with contextlib.suppress(Unavailable):
        await services.messenger.flush_pending()
    await services.messenger.close()
    await services.tenants.stop()
    await services.redis.stop()
    await services.database_probe.stop()
    await services.postgres.stop()
    if services.replica is not None:
        await services.replica.postgres.stop()
    if (tracer := tracing.tracer()) is not None:
        tracer.close()
    metrics.forget_this_process()
    services.log.close()


def _every(services: Services, seconds: float, job: Callable[[Services], Awaitable[None]]) -> asyncio.Task[None]:
    """Run a job at intervals. A failure does not stop the next run."""

    async def rounds() -> None:
        while True:
            await asyncio.sleep(seconds * random.uniform(1 - JITTER, 1 + JITTER))
            try:
                await job(services)
            except Unavailable:
                continue  # already logged
            except Exception as error:
                services.log.error("background task failed", error=error)

    return asyncio.create_task(rounds())
