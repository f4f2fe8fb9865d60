"""Every collector, in one place. Names follow Prometheus' practice: base units, `_total`, `_seconds`.

Labels are bounded: route templates, codes, channels, providers, outcomes; never a person or an address. Tenants are
labels where METRICS_TENANTS allows some.

With WORKERS > 1, the samples of all workers are summed by files in PROMETHEUS_MULTIPROC_DIR. `auth1 serve` sets that
before this module is imported, because prometheus-client decides at import where it stores samples.
"""

import os
from collections import Counter as Counts
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

Collector = TypeVar("Collector", Counter, Gauge, Histogram)


class Labelled(dict[str | tuple[str, ...], Collector]):
    """A collector with labels: `EVENTS["challenge.opened"]`, `DELIVERIES["twilio", "sent"]`.

    Each child is found once by `labels()`, which costs ten times a lookup.
    """

    def __init__(self, collector: Collector) -> None:
        super().__init__()
        self.collector: Collector = collector

    def __missing__(self, values: str | tuple[str, ...]) -> Collector:
        child: Collector = self.collector.labels(*((values,) if isinstance(values, str) else values))
        self[values] = child
        return child


_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 6)

HTTP_REQUESTS = Labelled(Counter("auth1_http_requests_total", "HTTP responses.", ("method", "route", "status")))
HTTP_DURATION = Labelled(
    Histogram("auth1_http_request_duration_seconds", "Time from request to response.", ("route",), buckets=_SECONDS)
)
HTTP_IN_FLIGHT = Gauge("auth1_http_requests_in_flight", "Requests in progress.", multiprocess_mode="livesum")
ERROR_RESPONSES = Labelled(Counter("auth1_error_responses_total", "Error responses, by error code.", ("code",)))
LIMITED = Labelled(Counter("auth1_rate_limited_total", "Requests rejected by a rate limit.", ("policy",)))
CODES_REQUESTED = Labelled(Counter("auth1_code_requests_total", "Codes requested.", ("channel", "outcome")))
CODES_VERIFIED = Labelled(Counter("auth1_code_verifications_total", "Codes submitted.", ("channel", "outcome")))
LINKS_CONFIRMED = Labelled(
    Counter("auth1_link_confirmations_total", "Confirmations of links, by outcome.", ("outcome",))
)
SESSIONS_OPENED = Labelled(Counter("auth1_sessions_opened_total", "Sessions opened.", ("new_user",)))
SESSIONS_REFRESHED = Labelled(Counter("auth1_session_refreshes_total", "Refresh tokens used.", ("outcome",)))
MESSAGES_SENT = Labelled(Counter("auth1_messages_total", "Messages handed to a provider.", ("provider", "outcome")))
MESSAGE_DURATION = Labelled(
    Histogram(
        "auth1_message_send_duration_seconds", "Time that a provider took to respond.", ("provider",), buckets=_SECONDS
    )
)
DELIVERIES = Labelled(
    Counter("auth1_deliveries_total", "Final states of messages that a provider accepted.", ("provider", "state"))
)
BREAKER_OPEN = Labelled(
    Gauge(
        "auth1_provider_breaker_open",
        "Whether the circuit breaker of a provider is open.",
        ("provider",),
        multiprocess_mode="livemax",
    )
)
MESSAGE_COST = Labelled(
    Counter(
        "auth1_message_cost_dollars_total",
        "Price of messages that were sent or may have been sent.",
        ("provider", "country"),
    )
)
MESSAGE_RETRIES = Labelled(
    Counter("auth1_message_retries_total", "Messages sent again by another provider.", ("provider", "reason"))
)
OUTBOX_MESSAGES = Labelled(Counter("auth1_outbox_messages_total", "Messages that the outbox finished.", ("outcome",)))
EVENT_READER_LAG = Labelled(
    Gauge(
        "auth1_event_reader_lag_seconds",
        "Age of the oldest event that a reader has not read.",
        ("reader",),
        multiprocess_mode="livemax",
    )
)
EVENT_STREAMS = Gauge("auth1_event_streams", "Open streams of events.", multiprocess_mode="livesum")
_DELAYS = (0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200, 21600, 86400)
WEBHOOK_ATTEMPTS = Labelled(Counter("auth1_webhook_attempts_total", "Calls of webhooks, by outcome.", ("outcome",)))
WEBHOOK_CALL_DURATION = Histogram(
    "auth1_webhook_call_duration_seconds", "Time of a call of a webhook.", buckets=(*_SECONDS, 15)
)
WEBHOOK_DELIVERY_DELAY = Histogram(
    "auth1_webhook_delivery_delay_seconds", "Time from an event to its delivery.", buckets=_DELAYS
)
WEBHOOK_CALLS_IN_FLIGHT = Gauge(
    "auth1_webhook_calls_in_flight", "Calls of webhooks in progress.", multiprocess_mode="livesum"
)
WEBHOOK_BACKLOG = Labelled(
    Gauge(
        "auth1_webhook_backlog",
        "Pending deliveries, by whether their webhook works or keeps failing.",
        ("webhook",),
        multiprocess_mode="livemax",
    )
)
WEBHOOK_OLDEST_PENDING = Gauge(
    "auth1_webhook_oldest_pending_seconds",
    "Age of the oldest due delivery of a working webhook.",
    multiprocess_mode="livemax",
)
WEBHOOKS_DISABLED = Labelled(Counter("auth1_webhooks_disabled_total", "Webhooks that were disabled.", ("reason",)))
WEBHOOK_DELIVERIES_CREATED = Counter("auth1_webhook_deliveries_created_total", "Deliveries created from events.")
EVENTS_SEALED = Counter("auth1_events_sealed_total", "Events that were sealed.")
EVENT_CHAIN_ERRORS = Counter("auth1_event_chain_errors_total", "Chains of seals whose last MAC was wrong.")
EVENTS = Labelled(Counter("auth1_events_total", "Events recorded.", ("type",)))
FRAUD_DECISIONS = Labelled(Counter("auth1_fraud_decisions_total", "Fraud decisions.", ("decision", "reason")))
FRAUD_DECISIONS_DROPPED = Counter(
    "auth1_fraud_decisions_dropped_total", "Decisions that were not stored because the buffer was full."
)
CAPTCHAS = Labelled(Counter("auth1_captchas_total", "Tokens of captchas, by result.", ("provider", "result")))
LOOKUPS = Labelled(Counter("auth1_lookups_total", "Look-ups of phone numbers at Twilio.", ("outcome",)))
LOOKUP_PACKAGES = Labelled(
    Counter("auth1_lookup_packages_total", "Packages that Twilio Lookup returned; each is billed.", ("package",))
)
LOOKUP_DURATION = Histogram("auth1_lookup_duration_seconds", "Time of a look-up at Twilio.", buckets=_SECONDS)
EXPOSURES_SAVED = Counter("auth1_fraud_exposures_saved_total", "States of fraud scopes written to PostgreSQL.")
EXPOSURES_RESTORED = Counter(
    "auth1_fraud_exposures_restored_total", "Tenants whose states were read back because Redis had lost them."
)
EXPOSURE_FALLBACKS = Counter(
    "auth1_fraud_fallbacks_total", "Requests that a worker decided alone because Redis was unavailable."
)
HOOK_CALLS = Labelled(Counter("auth1_hook_calls_total", "Calls of blocking hooks, by result.", ("hook", "result")))
HOOK_DURATION = Labelled(
    Histogram("auth1_hook_duration_seconds", "Time of a call of a blocking hook.", ("hook",), buckets=_SECONDS)
)
POOL_SIZE = Gauge("auth1_postgres_pool_size", "Connections the pool may hold.", multiprocess_mode="livesum")
POOL_IN_USE = Gauge("auth1_postgres_pool_in_use", "Connections in use.", multiprocess_mode="livesum")
POSTGRES_ERRORS = Counter("auth1_postgres_errors_total", "Statements that failed because PostgreSQL was unavailable.")
POSTGRES_DURATION = Labelled(
    Histogram("auth1_postgres_query_duration_seconds", "Time of a statement.", ("query",), buckets=_SECONDS)
)
REPLICA_LAG = Gauge(
    "auth1_postgres_replica_lag_seconds", "How far the replica lags; infinite without it.", multiprocess_mode="livemax"
)
POSTGRES_BATCH_ROWS = Histogram(
    "auth1_postgres_batch_rows", "Requests that one statement executed.", ("query",), buckets=(1, 2, 4, 8, 16, 32, 64)
)
REDIS_UP = Gauge("auth1_redis_up", "Workers whose connection to Redis works.", multiprocess_mode="livesum")
REDIS_ERRORS = Counter("auth1_redis_errors_total", "Calls to Redis that failed.")
RATE_LIMIT_FALLBACKS = Counter(
    "auth1_rate_limit_fallbacks_total", "Rate limits decided in the process because Redis was unavailable."
)
LOG_LINES_DROPPED = Counter("auth1_log_lines_dropped_total", "Log lines dropped because stdout was blocked.")
MEMORY = Gauge("auth1_resident_memory_bytes", "Resident memory of the workers.", multiprocess_mode="livesum")
BUILD_INFO = Labelled(Gauge("auth1_build_info", "The running version.", ("version",), multiprocess_mode="livemax"))


TENANT_REQUESTS = Labelled(
    Counter("auth1_tenant_requests_total", "HTTP responses of tenants with many requests.", ("tenant", "status"))
)
TENANT_EVENTS = Labelled(
    Counter("auth1_tenant_events_total", "Events of tenants with many requests.", ("tenant", "type"))
)


class TenantLabels:
    """Metrics of the `limit` tenants with the most requests; all others are counted as `other`.

    A tenant gets its label in the next ranking. A tenant that others have overtaken loses it, and its series end. With
    several workers it keeps it: series in files cannot be removed. Then each worker has at most `limit` labels.
    """

    OTHER = "other"

    def __init__(self) -> None:
        self.limit = 0
        self._labels: set[str] = set()
        self._requests: Counts[str] = Counts()

    def count_request(self, tenant_id: str, status: int) -> None:
        """Count a response by the class of its status."""
        self._requests[tenant_id] += 1
        TENANT_REQUESTS[self._label(tenant_id), f"{status // 100}xx"].inc()

    def count_event(self, tenant_id: str, event_type: str) -> None:
        """Count an event."""
        TENANT_EVENTS[self._label(tenant_id), event_type].inc()

    def rank(self) -> None:
        """Assign the labels to the tenants with the most requests. Earlier requests count half at each ranking."""
        top = {tenant_id for tenant_id, _ in self._requests.most_common(self.limit)}
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            for tenant_id in self._labels - top:
                _remove(TENANT_REQUESTS, tenant_id)
                _remove(TENANT_EVENTS, tenant_id)
            self._labels &= top
        for tenant_id, _ in self._requests.most_common(self.limit):
            if len(self._labels) < self.limit:
                self._labels.add(tenant_id)
        self._requests = Counts({name: count // 2 for name, count in self._requests.items() if count > 1})

    def _label(self, tenant_id: str) -> str:
        return tenant_id if tenant_id in self._labels else self.OTHER


TENANTS = TenantLabels()


def count_response(log: Mapping[str, object], status: int) -> None:
    """Count a response for the tenant in its log line, if there is one."""
    if TENANTS.limit and (tenant_id := log.get("tenant_id")) is not None:
        TENANTS.count_request(str(tenant_id), status)


def _remove(collector: "Labelled[Counter]", tenant_id: str) -> None:
    for values in [values for values in collector if values[0] == tenant_id]:
        collector.collector.remove(*values)
        del collector[values]


def render() -> bytes:
    """Render all samples as Prometheus text (version 0.0.4), of all live and ended workers."""
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if directory is None:
        return generate_latest(REGISTRY)
    _remove_ended_workers(Path(directory))
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus-client leaves it untyped
    return generate_latest(registry)


def forget_this_process() -> None:
    """Remove this worker's live gauges from the sum, because it is about to exit."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]  # prometheus-client leaves it untyped


def _remove_ended_workers(directory: Path) -> None:
    """Remove the live gauges of workers that were killed: they cannot call `forget_this_process`."""
    for pid in {int(file.stem.rpartition("_")[2]) for file in directory.glob("gauge_live*_*.db")}:
        if not Path(f"/proc/{pid}").exists():
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # prometheus-client leaves it untyped
