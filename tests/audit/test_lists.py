"""Lists and exports of events: filters, pages, bounds, formats."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from auth1.audit import export, lists
from auth1.core.ids import new_id
from auth1.errors import Unavailable
from tests.audit.conftest import AuditLog, insert

EVENTS, ALL_EVENTS = "/api/tenant/events", "/api/admin/events"


class Reader:
    """A tenant that reads its events."""

    def __init__(self, audit_log: AuditLog, tenant: dict[str, Any]) -> None:
        self.log = audit_log
        self.id: str = tenant["tenant_id"]
        self._key: str = tenant["secret_key"]

    async def get(self, path: str = EVENTS, **query: Any) -> httpx.Response:
        return await self.log.api.client.get(path, params=query, headers={"x-api-key": self._key})

    async def ids(self, **query: Any) -> list[str]:
        """Return the ids of all pages."""
        ids: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await self.get(**query, cursor=cursor)).json()
            ids += [event["event_id"] for event in page["data"]]
            cursor = page["next_cursor"]
        return ids

    async def operator(self, path: str) -> httpx.Response:
        return await self.log.api.admin("GET", path)


@pytest.fixture
async def reader(audit_log: AuditLog) -> Reader:
    return Reader(audit_log, await audit_log.api.tenant())


async def test_events_are_listed_newest_first(reader: Reader) -> None:
    ids = await reader.log.add(reader.id, 5)

    page = (await reader.get(limit=2)).json()

    assert [event["event_id"] for event in page["data"]] == [ids[4], ids[3]]
    assert page["data"][0] == {
        "event_id": ids[4],
        "type": "user.updated",
        "created_at": page["data"][0]["created_at"],
        "actor": "key_1",
        "subject": "usr_1",
        "request_id": "req_0123456789",
        "network": "192.0.2.0/24",
        "data": {"changed": ["email"]},
    }
    assert (await reader.ids(limit=2))[:5] == ids[::-1]
    assert (await reader.get(cursor=ids[1])).json()["data"][0]["event_id"] == ids[0]


async def test_each_filter_selects_its_events(reader: Reader) -> None:
    plain = await reader.log.add(reader.id, 2)
    [banned] = await reader.log.add(reader.id, type="user.banned", subject="usr_2", data="{}")
    [answered] = await reader.log.add(
        reader.id, type="challenge.answered", subject="ch_1", data='{"user_id": "usr_2"}', request_id="req_abcdefgh"
    )

    assert await reader.ids(type="user.banned,challenge.answered") == [answered, banned]
    assert await reader.ids(subject="usr_2") == [banned]
    assert await reader.ids(user="usr_2") == [answered, banned]
    assert await reader.ids(user="usr_2", type="user.banned") == [banned]
    assert await reader.ids(request_id="req_abcdefgh") == [answered]
    assert await reader.ids(actor="key_1") == [answered, banned, *plain[::-1]]
    assert await reader.ids(actor="nothing") == []
    assert len(await reader.ids(actor="operator")) == 1  # tenant.created


async def test_time_range_is_that_of_the_database(reader: Reader) -> None:
    first, second = [await reader.log.add(reader.id) for _ in range(2)]
    made = {e["event_id"]: e["created_at"] for e in (await reader.get()).json()["data"]}

    assert await reader.ids(since=made[second[0]]) == second
    assert first[0] in await reader.ids(until=made[second[0]])
    assert second[0] not in await reader.ids(until=made[second[0]])
    assert await reader.ids(since="2100-01-01T00:00:00Z") == []


async def test_events_of_others_and_of_the_sandbox_are_not_listed(reader: Reader) -> None:
    await reader.log.add("tn_other", user := 1)
    await reader.log.add(f"{reader.id}:test", user)

    assert await reader.ids(user="usr_1") == []
    assert [event["type"] for event in (await reader.get()).json()["data"]] == ["tenant.created"]


@pytest.mark.parametrize(
    "query", [{"type": "user.created,user.invented"}, {"type": ""}, {"since": "now"}, {"colour": "1"}]
)
async def test_invalid_filter_is_rejected(reader: Reader, query: dict[str, str]) -> None:
    answer = await reader.get(**query)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert answer.json()["errors"][0]["field"] == next(iter(query))


async def test_page_looks_at_a_bounded_number_of_events(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_SCANNED", 4)
    [wanted] = await reader.log.add(reader.id, type="user.banned")
    await reader.log.add(reader.id, 9)

    page = (await reader.get(type="user.banned")).json()

    assert page["data"] == []
    assert page["next_cursor"] is not None
    assert await reader.ids(type="user.banned") == [wanted]
    assert await reader.ids(user="usr_1", type="user.banned") == [wanted]


async def test_operator_lists_events_of_all_tenants(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MAX_SCANNED", 4)
    mine = await reader.log.add(reader.id, 3)
    sandbox = await reader.log.add(f"{reader.id}:test", 3, type="user.banned")

    path = f"{ALL_EVENTS}?limit=2"
    found: list[tuple[str, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await reader.operator(f"{path}&cursor={cursor}")).json()
        found += [(event["tenant_id"], event["event_id"]) for event in page["data"]]
        cursor = page["next_cursor"]

    expected = [(reader.id, one) for one in mine] + [(f"{reader.id}:test", one) for one in sandbox]
    assert found[:6] == expected[::-1]
    page = (await reader.operator(f"{ALL_EVENTS}?type=user.created")).json()
    assert (page["data"], page["next_cursor"] is not None) == ([], True)
    assert (await reader.operator(f"{ALL_EVENTS}?cursor=evt_1")).json()["errors"][0]["field"] == "cursor"
    own = (await reader.operator(f"/api/admin/tenants/{reader.id}/events?limit=3")).json()
    assert [event["event_id"] for event in own["data"]] == mine[::-1]


async def test_export_is_oldest_first_and_resumes(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 3)
    monkeypatch.setattr(lists, "MAX_SCANNED", 4)
    await reader.log.add("tn_other", 6)
    ids = await reader.log.add(reader.id, 8)

    answer = await reader.get(f"{EVENTS}/export")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    resumed = await reader.get(f"{EVENTS}/export", after=ids[2])

    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert [line["event_id"] for line in lines][1:] == ids
    assert lines[1]["data"] == {"changed": ["email"]}
    assert [json.loads(line)["event_id"] for line in resumed.text.splitlines()] == ids[3:]


async def test_export_as_csv_is_safe_for_spreadsheets(reader: Reader) -> None:
    await insert(reader.log.database, reader.id, new_id("evt"), request_id="-1+1=cmd")

    answer = await reader.get(f"{EVENTS}/export", format="csv")

    header, _, row = csv.reader(io.StringIO(answer.text))
    assert tuple(header) == export.COLUMNS
    assert row[5] == "'-1+1=cmd"
    assert json.loads(row[7]) == {"changed": ["email"]}


async def test_operator_exports_events_of_all_tenants(reader: Reader) -> None:
    ids = await reader.log.add("tn_gone", 2)

    lines = [json.loads(line) for line in (await reader.operator(f"{ALL_EVENTS}/export")).text.splitlines()]
    resumed = await reader.operator(f"{ALL_EVENTS}/export?after={lines[0]['event_id']}")
    table = await reader.operator(f"{ALL_EVENTS}/export?format=csv")

    assert [(line["tenant_id"], line["event_id"]) for line in lines[-2:]] == [("tn_gone", one) for one in ids]
    assert len(resumed.text.splitlines()) == len(lines) - 1
    assert table.text.splitlines()[0].endswith("data,tenant_id")


async def test_export_leaves_out_events_behind_an_open_transaction(reader: Reader) -> None:
    [final] = await reader.log.add(reader.id)
    other = await asyncpg.connect(reader.log.url)
    transaction = other.transaction()
    await transaction.start()
    await insert(other, "tn_other", new_id("evt"))
    [later] = await reader.log.add(reader.id)

    assert final in (text := (await reader.get(f"{EVENTS}/export")).text)
    assert later not in text
    await transaction.rollback()
    await other.close()
    assert later in (await reader.get(f"{EVENTS}/export")).text


@pytest.mark.parametrize("after", ["evt_01kf0fv3bznk9jayq84cstkf4c", "evt_1"])
async def test_export_after_an_unknown_event_is_rejected(reader: Reader, after: str) -> None:
    answer = await reader.get(f"{EVENTS}/export", after=after)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "after")
    assert (await reader.operator(f"{ALL_EVENTS}/export?after={after}")).status_code == 422


async def test_export_that_fails_midway_is_incomplete(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 2)
    monkeypatch.setattr(export, "RETRY_DELAYS_S", (0.0,))
    await reader.log.add(reader.id, 6)
    pages = await export.begin(reader.log.services.reads, reader.id, "ndjson", "")
    first = await anext(pages)
    await reader.log.services.reads.stop()

    with pytest.raises(Unavailable):
        await anext(pages)
    assert len(first.splitlines()) == 2


async def test_head_of_the_chain_counts_unsealed_events(reader: Reader) -> None:
    before = (await reader.get(f"{EVENTS}/head")).json()
    await reader.log.seal()
    await reader.log.add(reader.id, 3)
    head = (await reader.get(f"{EVENTS}/head")).json()

    assert before == {"seq": 0, "head": None, "mac": None, "key": None, "sealed_at": None, "unsealed": 1}
    assert (head["seq"], head["unsealed"], len(head["head"]), len(head["mac"])) == (1, 3, 64, 64)
    assert datetime.fromisoformat(head["sealed_at"]) > datetime.now(UTC) - timedelta(minutes=5)
    row = await reader.log.database.fetchrow("select * from event_seals where tenant_id = $1", reader.id)
    assert row is not None
    assert (head["head"], head["mac"], head["key"]) == (row["head"].hex(), row["mac"].hex(), row["key"].hex())
