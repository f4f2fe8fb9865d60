"""Streams of events over HTTP: their order, filters, resumption, limits and ends."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from auth1 import metrics
from auth1.app import build_app
from auth1.audit import stream as event_stream
from auth1.core.http import asgi, streaming
from auth1.core.ids import new_id
from auth1.events import stream as streams
from auth1.routes import ROUTES
from tests.audit.conftest import AuditLog, insert
from tests.audit.streams import StreamClient
from tests.support.effort import effort
from tests.support.process import until

PATH, ALL_EVENTS = "/api/tenant/events/stream", "/api/admin/events/stream"


class Tenant:
    """A tenant, and an application that streams its events."""

    def __init__(self, log: AuditLog, made: dict[str, Any], deadline_s: float | None = None) -> None:
        self.log = log
        self.id: str = made["tenant_id"]
        self.key: str = made["secret_key"]
        routes = [route if deadline_s is None else route._replace(deadline_s=deadline_s) for route in ROUTES]
        self.app = build_app(log.api.settings, log.services.log, routes=routes)
        self.app.services = log.services
        self.operator_path = f"/api/admin/tenants/{self.id}/events/stream"

    def stream(self, query: str = "", **options: Any) -> StreamClient:
        return StreamClient(self.app, PATH + query, key=self.key, **options)

    def operator_stream(self, path: str, **options: Any) -> StreamClient:
        return StreamClient(self.app, path, **options)

    async def order(self) -> list[str]:
        """Return the ids of its events in the order in which they are final."""
        rows = await self.log.database.fetch("select id from events where tenant_id = $1 order by tx, id", self.id)
        return [row["id"] for row in rows]


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "POLL_S", 0.02)
    monkeypatch.setattr(streams, "CHECK_S", 0.05)


@pytest.fixture
async def tenant(audit_log: AuditLog) -> Tenant:
    return Tenant(audit_log, await audit_log.api.tenant())


async def has_no_streams() -> bool:
    return open_streams() == 0


def open_streams() -> float:
    [family] = metrics.EVENT_STREAMS.collect()
    return family.samples[0].value


async def test_stream_shows_new_events_as_lists_do(tenant: Tenant) -> None:
    await tenant.log.add(tenant.id, 2)
    async with tenant.stream() as client:
        ids = await tenant.log.add(tenant.id, 3)
        await tenant.log.add("tn_other")
        await tenant.log.add(f"{tenant.id}:test")
        ids += await tenant.log.add(tenant.id, type="user.banned", data='{"until": "a\\n\\r\\u2028b"}')

        assert await client.wait_for(4) == ids
    listed = await tenant.log.api.client.get("/api/tenant/events?limit=4", headers={"x-api-key": tenant.key})
    assert [message.json for message in client.messages] == listed.json()["data"][::-1]
    assert [message.event for message in client.messages] == [*["user.updated"] * 3, "user.banned"]
    assert client.headers[b"content-type"] == b"text/event-stream"
    assert (client.headers[b"cache-control"], client.headers[b"x-accel-buffering"]) == (b"no-store", b"no")


async def test_stream_that_resumes_sends_what_it_missed(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "PAGE", 3)
    ids = await tenant.log.add(tenant.id, 9)
    async with tenant.stream(last_id=ids[1]) as client:
        ids += await tenant.log.add(tenant.id, 2)

        assert await client.wait_for(9) == ids[2:]


async def test_stream_can_be_resumed_before_its_first_event(tenant: Tenant) -> None:
    await tenant.log.add(tenant.id, 2)
    async with tenant.stream() as client:
        await client.until(lambda: client.comments)
    missed = await tenant.log.add(tenant.id, 2)
    async with tenant.stream(last_id=client.last_id) as client:
        assert await client.wait_for(2) == missed


async def test_comment_has_the_id_of_the_last_event_that_did_not_match(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "COMMENT_S", 0.02)
    async with tenant.stream("?type=user.banned") as client:
        [passed] = await tenant.log.add(tenant.id)
        await client.until(lambda: client.last_id == passed)
        comments = client.comments
        await client.until(lambda: client.comments > comments + 2)
        assert client.messages == []
        [banned] = await tenant.log.add(tenant.id, type="user.banned")
        assert await client.wait_for(1) == [banned]


@pytest.mark.parametrize("last_id", ["evt_01kf0fv3bznk9jayq84cstkf4c", "evt_1", "x" * 500, "*"])
async def test_unknown_last_event_id_is_rejected(tenant: Tenant, last_id: str) -> None:
    [others] = await tenant.log.add("tn_other")
    for one in (last_id, others):
        async with tenant.stream(last_id=one) as client:
            await client.ended()
        assert (client.status, b'"last-event-id"' in client.body) == (422, True)
    assert await has_no_streams()


async def test_invalid_filter_is_rejected(tenant: Tenant) -> None:
    for query in ("?type=user.invented", "?since=now", "?limit=3"):
        async with tenant.stream(query) as client:
            await client.ended()
        assert client.status == 422


async def test_operator_streams_one_tenant_or_all(tenant: Tenant) -> None:
    async with tenant.operator_stream(tenant.operator_path) as one, tenant.operator_stream(ALL_EVENTS) as everything:
        mine = await tenant.log.add(tenant.id)
        other = await tenant.log.add("tn_other", 2)

        assert await one.wait_for(1) == mine
        assert await everything.wait_for(3) == mine + other
        assert [message.json["tenant_id"] for message in everything.messages] == [tenant.id, "tn_other", "tn_other"]
    async with tenant.operator_stream(ALL_EVENTS, last_id=mine[0]) as everything:
        assert await everything.wait_for(2) == other


async def test_event_behind_an_open_transaction_waits_for_it(tenant: Tenant) -> None:
    late, early = new_id("evt"), new_id("evt")
    other = await asyncpg.connect(tenant.log.url)
    async with tenant.stream() as client:
        transaction = other.transaction()
        await transaction.start()
        await insert(other, tenant.id, late)
        await insert(tenant.log.database, tenant.id, early)
        await asyncio.sleep(0.2)
        assert client.messages == []
        await transaction.commit()
        assert await client.wait_for(2) == [late, early]
    await other.close()


async def write(log: AuditLog, tenant_id: str, count: int, seed: int) -> None:
    """Insert events in transactions of random length; every fourth one is rolled back."""
    database, chance = await asyncpg.connect(log.url), random.Random(seed)
    for _ in range(count):
        transaction = database.transaction()
        await transaction.start()
        for _ in range(chance.randint(1, 3)):
            await insert(database, chance.choice([tenant_id, "tn_other"]), new_id("evt"))
        await asyncio.sleep(chance.uniform(0, 0.02))
        await (transaction.rollback() if chance.random() < 0.25 else transaction.commit())
    await database.close()


async def test_resumed_streams_have_no_gap_or_repeat_while_writers_race(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "PAGE", 7)
    monkeypatch.setattr(streams, "MAX_ROWS", 5)
    chance = random.Random(1)
    [last_id] = start = await tenant.log.add(tenant.id)
    writers = asyncio.gather(*(write(tenant.log, tenant.id, effort(25, 500), seed) for seed in range(4)))
    seen: list[str] = []
    while not writers.done():
        async with tenant.stream(last_id=last_id) as client:
            await asyncio.wait([writers], timeout=chance.uniform(0, 0.1))
        seen += client.ids
        last_id = client.last_id or last_id
    async with tenant.stream(last_id=last_id) as client:
        expected = (await tenant.order())[(await tenant.order()).index(start[0]) + 1 :]
        await client.wait_for(len(expected) - len(seen))
    assert seen + client.ids == expected


async def test_slow_client_takes_bounded_memory_and_misses_nothing(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_WAITING_BYTES", 4000)
    waiting: list[int] = []
    offer = streams.Subscription.offer

    def measured(self: streams.Subscription, row: Any) -> None:
        offer(self, row)
        waiting.append(self.waiting_bytes)

    monkeypatch.setattr(streams.Subscription, "offer", measured)
    ids: list[str] = []
    async with tenant.stream() as client:
        for _ in range(3):
            client.reads.clear()
            ids += await tenant.log.add(tenant.id, 40)
            await asyncio.sleep(0.1)
            client.reads.set()
            assert await client.wait_for(len(ids)) == ids
    assert max(waiting) <= 4000


async def test_client_that_stops_reading_is_ended_and_resumes(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "SEND_S", 0.1)
    async with tenant.stream() as client:
        ids = await tenant.log.add(tenant.id, 2)
        await client.wait_for(2)
        client.reads.clear()
        ids += await tenant.log.add(tenant.id, 5)
        await client.ended()
    assert not client.is_complete
    assert await has_no_streams()
    async with tenant.stream(last_id=client.last_id) as client:
        assert await client.wait_for(5) == ids[2:]


async def test_disconnected_client_frees_its_place(tenant: Tenant) -> None:
    async with tenant.stream() as client:
        assert open_streams() == 1
        client.disconnect()
        await client.ended()
        assert await has_no_streams()


async def test_head_request_opens_no_stream(tenant: Tenant) -> None:
    async with tenant.stream(method="HEAD") as client:
        await client.ended()
    assert (client.status, client.body) == (200, b"")
    assert await has_no_streams()


async def test_stream_ends_after_its_time_with_retry(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "LIFE_S", 0.2)
    async with tenant.stream() as client:
        await client.ended()
    assert client.is_complete
    assert client.retry_ms is not None
    assert 1000 <= client.retry_ms <= 5000


async def test_stream_outlasts_deadlines_and_in_flight_limits(
    audit_log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "MAX_RUNNING", 1)
    tenant = Tenant(audit_log, await audit_log.api.tenant(), deadline_s=2.0)
    [before] = metrics.HTTP_IN_FLIGHT.collect()
    async with tenant.stream() as client, tenant.stream() as other:
        [during] = metrics.HTTP_IN_FLIGHT.collect()
        await asyncio.sleep(2.5)
        ids = await tenant.log.add(tenant.id)
        assert await client.wait_for(1) == await other.wait_for(1) == ids
    assert during.samples[0].value == before.samples[0].value


async def test_streams_of_a_tenant_and_of_a_worker_are_limited(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = [tenant.stream() for _ in range(streams.MAX_OF_TENANT)]
    for client in opened:
        await client.__aenter__()
    async with tenant.stream() as rejected:
        await rejected.ended()
    monkeypatch.setattr(streams, "MAX_STREAMS", 6)
    async with tenant.operator_stream(ALL_EVENTS) as allowed, tenant.operator_stream(ALL_EVENTS) as too_many:
        await too_many.ended()
        assert (allowed.status, too_many.status) == (200, 503)
    assert (rejected.status, rejected.headers[b"retry-after"]) == (503, b"5")
    assert b'"code":"unavailable"' in rejected.body
    await opened.pop().__aexit__(None, None, None)
    async with tenant.stream() as client:
        assert client.status == 200
    for client in opened:
        await client.__aexit__(None, None, None)


async def test_streams_share_one_poll(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "POLL_S", 0.1)
    monkeypatch.setattr(streams, "CHECK_S", 1000)
    async with tenant.stream() as one, tenant.stream() as two, tenant.operator_stream(ALL_EVENTS) as three:
        for client in (one, two, three):
            await client.until(lambda client=client: client.comments)
        before = tenant.log.services.postgres.round_trips
        await asyncio.sleep(1.0)
        assert 0 < tenant.log.services.postgres.round_trips - before <= 2 * 11


async def revoke_key(tenant: Tenant) -> None:
    keys = (await tenant.log.api.admin("GET", f"/api/admin/tenants/{tenant.id}/keys")).json()["data"]
    [key_id] = [key["key_id"] for key in keys if key["kind"] == "sk"]
    await tenant.log.api.admin("DELETE", f"/api/admin/tenants/{tenant.id}/keys/{key_id}")


async def suspend(tenant: Tenant) -> None:
    await tenant.log.api.admin("POST", f"/api/admin/tenants/{tenant.id}/suspend")


async def delete(tenant: Tenant) -> None:
    await tenant.log.api.admin("DELETE", f"/api/admin/tenants/{tenant.id}")


@pytest.mark.parametrize(("act", "operator_goes_on"), [(revoke_key, True), (suspend, True), (delete, False)])
async def test_stream_ends_with_its_key_or_tenant(
    tenant: Tenant, act: Callable[[Tenant], Any], operator_goes_on: bool
) -> None:
    async with tenant.stream() as client, tenant.operator_stream(tenant.operator_path) as operator:
        await act(tenant)
        await client.ended()
        assert client.is_complete
        if operator_goes_on:
            count = len(operator.messages)
            [event_id] = await tenant.log.add(tenant.id)
            await operator.until(lambda: event_id in operator.ids[count:])
        else:
            await operator.ended()


async def test_streams_go_on_after_the_database_was_unavailable(tenant: Tenant) -> None:
    async with tenant.stream() as client:
        await tenant.log.database.fetch(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'auth1'"
            " and datname = current_database()"
        )
        ids = await tenant.log.add(tenant.id, 3)
        assert await client.wait_for(3) == ids


async def test_streams_end_when_the_database_has_lost_transactions(tenant: Tenant) -> None:
    await tenant.log.database.execute("update event_clock set tx_offset = 1000000")
    async with tenant.stream() as client:
        await client.until(lambda: client.comments)
        await tenant.log.database.execute("update event_clock set tx_offset = 0")
        await client.ended()
        assert client.is_complete


async def test_open_streams_end_when_the_worker_stops(audit_log: AuditLog) -> None:
    api = await audit_log.start_app(DATABASE_URL=audit_log.url)
    tenant = Tenant(AuditLog(api, audit_log.database, audit_log.url, audit_log.start_app), await api.tenant())
    async with tenant.stream() as client:
        api.services.streams.end_all()
        await client.ended()
        assert client.is_complete
        assert client.retry_ms
        async with tenant.stream() as late:
            await late.ended()
        assert late.status == 503


FILTERS = [
    {"type": "user.banned,challenge.answered"},
    {"subject": "usr_2"},
    {"actor": "key_1", "type": "user.updated"},
    {"actor": "operator"},
    {"user": "usr_2"},
    {"user": "usr_2", "type": "user.banned"},
    {"user": "usr_1"},
    {"request_id": "req_abcdefgh"},
]


async def test_filters_of_streams_select_what_those_of_lists_do(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "COMMENT_S", 0.02)
    await tenant.log.add(tenant.id, 2)
    [middle, *_] = await tenant.log.add(tenant.id, 2, type="user.banned", subject="usr_2", data="{}")
    await tenant.log.add(tenant.id, type="challenge.answered", subject="ch_1", data='{"user_id": "usr_2"}')
    await tenant.log.add(tenant.id, subject="usr_2", data='{"user_id": null}', request_id="req_abcdefgh")
    await tenant.log.add(tenant.id, subject="usr_2", data='{"metadata": {"user_id": "usr_1"}}')
    first, *_ = await tenant.order()
    headers = {"x-api-key": tenant.key}
    events = (await tenant.log.api.client.get("/api/tenant/events", headers=headers)).json()["data"]
    [made] = [event["created_at"] for event in events if event["event_id"] == middle]

    for query in (*FILTERS, {"since": made}, {"until": made}):
        listed = await tenant.log.api.client.get("/api/tenant/events", params=query, headers=headers)
        expected = [event["event_id"] for event in listed.json()["data"] if event["event_id"] != first][::-1]
        async with tenant.stream("?" + str(listed.request.url.query, "ascii"), last_id=first) as client:
            assert await client.wait_for(len(expected)) == expected, query
            await client.until(lambda client=client: client.comments)
        assert client.ids == expected, query


async def test_stream_metric_counts_open_streams(tenant: Tenant) -> None:
    async with tenant.stream(), tenant.stream():
        assert open_streams() == 2
    await until(has_no_streams)
