"""Import and export of a tenant's users as NDJSON and CSV."""

import asyncio
import csv
import io
import secrets
from collections.abc import Mapping
from typing import Any

import asyncpg
import msgspec
import pytest

from auth1.app import build_app
from auth1.core.http.asgi import App
from auth1.events.log import EventContext
from auth1.identifiers import IdentifierType
from auth1.services import Services
from auth1.user_transfer import exporter, importer
from auth1.users import store
from tests.conftest import new_phone
from tests.support.api_client import ApiClient
from tests.users.conftest import UserAdmin, at_once, new_email

NOTHING = {"read": 0, "created": 0, "existing": 0, "skipped": 0, "rejected": 0, "unverified": 0, "rejects": []}
KEPT = ("phone", "email", "external_id", "created_at", "banned_until", "ban_reason", "metadata", "user_metadata")


def ndjson(*rows: object) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


async def exported(admin: UserAdmin, **query: str) -> list[dict[str, Any]]:
    answer = await admin.call("GET", "/export", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["cache-control"] == "no-store"
    assert "content-length" not in answer.headers
    return [msgspec.json.decode(line) for line in answer.content.splitlines()]


async def test_import_restores_an_export(admin: UserAdmin) -> None:
    made = [
        await admin.make(
            external_id="1", metadata={"plan": "pro", "a": [1, {"ü": None}]}, created_at="2001-02-03T04:05:06Z"
        ),
        await admin.make(email=new_email(), phone=new_phone(), user_metadata={"name": 'Ada, "the first"'}),
        await admin.make(email=f"=a1+{new_email()}", external_id="'=7"),
    ]
    banned = (await admin.call("POST", f"/{made[0]['user_id']}/ban", {"reason": "spam"})).json()
    text = await admin.call("GET", "/export")
    table = await admin.call("GET", "/export", params={"format": "csv"})
    assert table.headers["content-type"] == "text/csv"
    assert "attachment" in table.headers["content-disposition"]
    assert f",'{made[2]['email']},''=7," in table.text, "no spreadsheet takes it for a formula"

    for raw, media_type in ((text.content, "application/x-ndjson"), (table.content, "text/csv")):
        other = UserAdmin(admin.api, admin.twilio, await admin.api.tenant())
        answer = await other.upload(raw, media_type)
        assert answer.json() == {**NOTHING, "read": 3, "created": 3}
        users = [{name: user[name] for name in KEPT} for user in await exported(other)]
        expected = [{name: user[name] for name in KEPT} for user in (banned, *made[1:])]
        key = lambda user: (user["phone"] or "", user["email"] or "")  # noqa: E731
        assert sorted(users, key=key) == sorted(expected, key=key)
        again = await other.upload(raw, media_type)
        assert again.json() == {**NOTHING, "read": 3, "existing": 3}


async def test_each_rejected_line_is_named_and_others_are_imported(
    admin: UserAdmin, database: asyncpg.Connection
) -> None:
    known = await admin.make(email=new_email(), external_id="known")
    other = await admin.make(email=new_email(), external_id="other")
    same = new_phone()
    lines = [
        (ndjson({"phone": same, "external_id": "first"}), None),
        (b"\n", None),
        (ndjson({"phone": same}), "existing"),
        (ndjson({"phone": same, "external_id": "second"}), "Its phone or email belongs to a user with another"),
        (ndjson({"email": known["email"], "external_id": "known"}), "existing"),
        (ndjson({"phone": new_phone(), "external_id": "known"}), "existing"),
        (ndjson({"email": known["email"], "external_id": "other"}), "belong to different users"),
        (ndjson({"email": other["email"], "external_id": "else"}), "a user with another external_id"),
        (ndjson({"phone": "123"}), "Must be a phone number"),
        (ndjson({"email": "invalid"}), "Must be an email address"),
        (ndjson({"external_id": "alone"}), "A phone or an email is required."),
        (ndjson({"email": new_email(), "name": "Ada"}), "name: Unknown field."),
        (ndjson({"email": new_email(), "metadata": {"a": "\0"}}), "NUL"),
        (ndjson({"email": new_email(), "metadata": "nothing"}), "metadata: Must be a JSON object"),
        (ndjson({"email": new_email(), "metadata": {"a": "x" * 5000}}), "4 KiB"),
        (ndjson({"email": new_email(), "created_at": "yesterday"}), "created_at: Must be a timestamp"),
        (ndjson({"email": new_email(), "created_at": 1e300}), "created_at: Must be a timestamp"),
        (ndjson({"email": new_email(), "external_id": "x" * 256}), "external_id: Must be 1 to 255 characters"),
        (ndjson({"email": new_email(), "banned": "maybe"}), "banned: Must be true or false"),
        (ndjson({"email": ["a@b.co"]}), "email: Must be a string"),
        (ndjson([1]), "Not a JSON object"),
        (b"oops\n", "Not JSON"),
        (b'{"email": "\xff"}\n', "Not JSON in UTF-8"),
        (b'{"email": "' + b"x" * 70_000 + b'"}\n', "Longer than"),
        (ndjson({"email": new_email(), "external_id": 7})[:-1], None),
    ]

    answer = (await admin.upload(b"".join(line for line, _ in lines))).json()

    wrong = [(n, reason) for n, (_, reason) in enumerate(lines, 1) if reason not in (None, "existing")]
    assert [reject["line"] for reject in answer["rejects"]] == [n for n, _ in wrong]
    for reject, (_, reason) in zip(answer["rejects"], wrong, strict=True):
        assert reason in reject["reason"]
    assert (answer["created"], answer["existing"], answer["rejected"]) == (2, 3, len(wrong))
    assert (answer["read"], answer["skipped"]) == (len(lines), 1)
    assert len(await admin.find()) == 4
    assert [kind for kind in await admin.events(database) if kind == "users.imported"] == ["users.imported"]


async def test_invalid_csv_row_does_not_affect_other_rows(admin: UserAdmin) -> None:
    good, better = new_email(), new_email()
    raw = (
        b"\xef\xbb\xbfemail,external_id\r\n"
        + f'"{good}",1\r\n'.encode()
        + b"a@b.co,2,3\r\n\r\nc@d.co,\xff\r\n"
        + b'e@f.co,"x"y\r\n'
        + f"{better}\r\n".encode()
    )

    answer = (await admin.upload(raw, "text/csv")).json()

    assert [reject["line"] for reject in answer["rejects"]] == [3, 5, 6]
    assert answer["created"] == 2
    assert await admin.find(external_id="1") == await admin.find(email=good)


async def test_csv_with_unknown_columns_is_rejected_as_a_whole(admin: UserAdmin) -> None:
    raw = b"mobile,email,Plan\n" + b"".join(f"x,{new_email()},pro\n".encode() for _ in range(50))

    rejected = (await admin.upload(raw, "text/csv")).json()

    reason = "Unknown columns: mobile, Plan; a map names the column of each field. No line was imported."
    assert rejected == {
        **NOTHING,
        "read": 51,
        "rejected": 51,
        "rejects": [{"line": 1, "reason": reason, "last_line": 51}],
    }
    mapped = await admin.upload(raw, "text/csv", map="email=email,metadata.plan=Plan")
    assert (mapped.json()["created"], mapped.json()["rejected"]) == (50, 0)


async def test_row_that_only_the_database_rejects_is_named(
    admin: UserAdmin, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An operator's own constraint, of which the program knows nothing.
    await database.execute("alter table users add constraint own check (external_id <> 'forbidden by the operator')")
    rows = [{"email": new_email(), "external_id": f"{n}"} for n in range(20)]
    rows[13]["external_id"] = "forbidden by the operator"
    try:
        answer = (await admin.upload(ndjson(*rows))).json()
    finally:
        await database.execute("alter table users drop constraint own")

    assert (answer["created"], answer["rejected"]) == (19, 1)
    assert answer["rejects"] == [{"line": 14, "reason": "Rejected by the database (23514)."}]


async def test_map_names_the_columns_of_fields(admin: UserAdmin) -> None:
    email = new_email()
    row = {"profile": {"mail": email}, "Plan": "pro", "id": 7, "secret": "left out"}

    answer = await admin.upload(ndjson(row), map="email=mail|profile.mail,metadata.plan=Plan,external_id=id")

    assert answer.json()["created"] == 1, answer.text
    (user,) = await exported(admin)
    assert (user["email"], user["external_id"], user["metadata"]) == (email, "7", {"plan": "pro"})
    for query in ({"map": "name=x"}, {"from": "missing"}):
        assert (await admin.upload(ndjson(row), **query)).status_code == 422


async def test_upload_is_limited_in_bytes_and_lines(admin: UserAdmin) -> None:
    large = ndjson(*({"email": new_email(), "metadata": {"x": "y" * 1000}} for _ in range(100)))
    assert (await admin.upload(large)).json()["created"] == 100
    assert (await admin.upload(b" " * (4 * 1024 * 1024 + 1))).json()["code"] == "payload_too_large"
    assert (await admin.upload(b"\n" * 50_001)).json()["code"] == "payload_too_large"
    assert (await admin.upload(b"{}", "application/json")).json()["code"] == "unsupported_media_type"
    assert (await admin.upload(b"")).json()["created"] == 0
    assert (await admin.call("GET", "/export", params={"format": "xml"})).status_code == 422
    assert (await admin.call("GET", "/export", params={"after": "x" * 65})).status_code == 422


async def test_concurrent_imports_and_logins_create_each_user_once(
    admin: UserAdmin, database: asyncpg.Connection
) -> None:
    phones = [new_phone() for _ in range(10)]
    codes = [await admin.request(phone) for phone in phones]
    rows = [{"phone": phone, "email": new_email(), "external_id": phone} for phone in phones]

    answers = await at_once(
        *(lambda rows=rows: admin.upload(ndjson(*rows)) for rows in (rows, rows[::-1])),  # as many as may be under way
        *(lambda phone=phone, code=code: admin.verify(phone, code) for phone, code in zip(phones, codes, strict=True)),
    )

    for answer in answers[:2]:
        assert answer.status_code == 200, answer.text
        assert answer.json()["rejected"] == 0
    assert [answer.status_code for answer in answers[2:]] == [200] * 10
    users = await exported(admin)
    assert sorted(user["phone"] for user in users) == sorted(phones)
    assert {answer.json()["user_id"] for answer in answers[2:]} == {user["user_id"] for user in users}


@pytest.mark.parametrize("taken", ["phone", "external_id"])
async def test_batch_is_rolled_back_after_a_concurrent_update(
    admin: UserAdmin, database: asyncpg.Connection, taken: str
) -> None:
    phone, email, tenant_id = new_phone(), new_email(), admin.tenant_id
    owned_phone: dict[IdentifierType, str] = {"phone": phone}
    owned_email: dict[IdentifierType, str] = {"email": email}
    rows = [
        store.Row(f"usr_{n}", one, f"ext-{n}", "{}", "{}", None, None, None)
        for n, one in enumerate([owned_phone, owned_email])
    ]

    async def make() -> None:
        async with admin.api.services.postgres.transaction() as transaction:
            assert await store.find_owners(transaction, tenant_id, rows) == ({}, {}, {})
            await database.execute("insert into users (tenant_id, id) values ($1, 'usr_x')", tenant_id)
            if taken == "phone":
                await database.execute(
                    "insert into identifiers (tenant_id, identifier, type, user_id) values ($1, $2, 'phone', 'usr_x')",
                    tenant_id,
                    phone,
                )
            else:
                await database.execute("update users set external_id = 'ext-0' where tenant_id = $1", tenant_id)
            await store.create_users(transaction, tenant_id, rows, None, EventContext(""))

    with pytest.raises(store.ConcurrentUpdate):
        await make()

    assert [user["user_id"] for user in await exported(admin)] == ["usr_x"]
    raw = ndjson({"phone": phone, "external_id": "ext-0"}, {"email": email, "external_id": "ext-1"})
    assert (await admin.upload(raw)).json()["created"] == 1


async def test_export_reads_pages_and_resumes_after_a_user(admin: UserAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "PAGE", 3)
    rows = [{"email": f"{n}.{secrets.token_hex(4)}@example.com"} for n in range(7)]
    assert (await admin.upload(ndjson(*rows))).json()["created"] == 7

    users = await exported(admin)

    assert sorted(user["email"] for user in users) == sorted(row["email"] for row in rows)
    ids = [user["user_id"] for user in users]
    assert ids == sorted(ids)
    assert [user["user_id"] for user in await exported(admin, after=ids[4])] == ids[5:]
    table = (await admin.call("GET", "/export", params={"format": "csv"})).text
    assert [row["user_id"] for row in csv.DictReader(io.StringIO(table))] == ids
    head = await admin.call("HEAD", "/export")
    assert (head.status_code, head.content) == (200, b"")


class Client:
    """A client that reads a stream piece by piece and may disconnect."""

    def __init__(self, api: ApiClient) -> None:
        self._app: App[Services] = build_app(api.settings, api.services.log)
        self._app.services = api.services
        self.sent: list[Mapping[str, Any]] = []
        self.room = asyncio.Semaphore(0)
        self.gone = asyncio.Event()
        self._taken = asyncio.Semaphore(0)
        self._is_requested = False

    async def get(self, admin: UserAdmin) -> None:
        headers = [(b"host", b"localhost"), (b"x-api-key", admin.tenant["secret_key"].encode())]
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/tenant/users/export",
            "query_string": b"",
            "headers": headers,
        }
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> Mapping[str, Any]:
        if not self._is_requested:
            self._is_requested = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Mapping[str, Any]) -> None:
        await self.room.acquire()
        self.sent.append(message)
        self._taken.release()

    async def take(self) -> None:
        """Read one more piece."""
        self.room.release()
        await self._taken.acquire()

    @property
    def ended(self) -> bool:
        return self.sent[-1]["type"] == "http.response.body" and not self.sent[-1].get("more_body", False)


@pytest.fixture
async def full_tenant(admin: UserAdmin, monkeypatch: pytest.MonkeyPatch) -> UserAdmin:
    monkeypatch.setattr(exporter, "PAGE", 2)
    await admin.upload(ndjson(*({"email": new_email()} for _ in range(20))))
    return admin


async def last_request(api: ApiClient) -> dict[str, Any]:
    lines = [line for line in (await api.log()).splitlines() if '"msg":"request"' in line]
    found: dict[str, Any] = msgspec.json.decode(lines[-1])
    return found


async def test_export_reads_no_page_before_the_client_takes_the_last(full_tenant: UserAdmin) -> None:
    client = Client(full_tenant.api)
    export = asyncio.create_task(client.get(full_tenant))
    for _ in ("the head", "a piece", "another"):
        await client.take()
    trips = full_tenant.api.services.postgres.round_trips
    await asyncio.sleep(0.1)

    assert full_tenant.api.services.postgres.round_trips - trips <= 1
    for _ in range(20):
        client.room.release()
    await export
    assert client.ended
    assert (await last_request(full_tenant.api)).get("broken") is None


async def test_export_ends_when_the_client_disconnects(full_tenant: UserAdmin) -> None:
    client = Client(full_tenant.api)
    export = asyncio.create_task(client.get(full_tenant))
    await client.take()
    await client.take()

    client.gone.set()
    await export

    assert not client.ended
    reported = await last_request(full_tenant.api)
    assert (reported["status"], reported["broken"]) == (200, "client")


async def test_export_without_database_ends_without_its_last_chunk(
    full_tenant: UserAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(full_tenant.api)
    export = asyncio.create_task(client.get(full_tenant))
    await client.take()
    await client.take()
    monkeypatch.setattr(exporter, "RETRY_DELAYS_S", ())
    await full_tenant.api.services.postgres.stop()
    try:
        for _ in range(20):
            client.room.release()
        await export
    finally:
        await full_tenant.api.services.postgres.start()

    assert not client.ended
    assert (await last_request(full_tenant.api))["broken"] == "unavailable"


async def test_import_continues_after_lost_connections(admin: UserAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "RETRY_DELAYS_S", (0.01, 0.1, 1.0))
    killer = await asyncpg.connect(admin.api.settings.database_url)
    rows = [{"email": new_email()} for _ in range(1500)]
    upload = asyncio.create_task(admin.upload(ndjson(*rows)))
    while not await killer.fetchval("select count(*) from users where tenant_id = $1", admin.tenant_id):
        assert not upload.done()
    await killer.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and application_name = 'auth1'"
    )

    answer = await upload

    assert answer.status_code == 200, answer.text
    assert answer.json()["created"] == 1500
    assert await killer.fetchval("select count(*) from users where tenant_id = $1", admin.tenant_id) == 1500
    await killer.close()
