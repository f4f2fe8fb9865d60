"""Links in emails: opened without effect, confirmed once, redeemed once; and everything that must not work."""

import asyncio
import base64
import hashlib
import itertools
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx
import jwt
import pytest

from auth1.challenges import outbox
from auth1.core.ids import new_id
from tests.conftest import Door, Started, new_phone
from tests.outside.smtp import Received, SmtpServer

APP_URL = "https://auth.example.com"
CALLBACK = "https://app.example.com/cb"
_people = itertools.count()


@pytest.fixture(scope="module")
async def mail_server() -> AsyncIterator[SmtpServer]:
    async with SmtpServer() as server:
        yield server


@pytest.fixture(scope="module")
async def mail_door(start_app: Started, mail_server: SmtpServer) -> Door:
    return await start_app(SMTP_URL=mail_server.url, EMAIL_FROM="no-reply@example.com", APP_URL=APP_URL)


@dataclass
class Person:
    """Somebody at a tenant, in a tab that logs in and before a mail program."""

    door: Door
    server: SmtpServer
    tenant: dict[str, Any]
    email: str

    async def request(self, **fields: object) -> httpx.Response:
        body = {"email": self.email, "mode": "link"} | fields
        return await self.door.post("/api/auth/request", body, self.tenant["api_key"])

    async def ask(self, **fields: object) -> dict[str, Any]:
        asked = await self.request(**fields)
        assert asked.status_code == 200, asked.text
        answer: dict[str, Any] = asked.json()
        return answer

    @property
    def mail(self) -> Received:
        return self.server.newest(self.email)

    @property
    def path(self) -> str:
        """The newest link, as a path."""
        return self.mail.link.removeprefix(APP_URL)

    async def open(self, method: str = "GET", path: str | None = None, **headers: str) -> httpx.Response:
        return await self.door.client.request(method, path or self.path, headers=headers)

    async def confirm(self, path: str | None = None, **headers: str) -> httpx.Response:
        headers = {"content-type": "application/x-www-form-urlencoded", "origin": "null"} | headers
        return await self.door.client.post(path or self.path, headers=headers)

    async def token(self, key: str | None = None, **grant: Any) -> httpx.Response:
        return await self.door.post("/api/auth/token", grant, key or self.tenant["api_key"])

    async def redeem(self, asked: dict[str, Any], key: str | None = None) -> httpx.Response:
        """Redeem as the tab that asked."""
        named = {name: asked[name] for name in ("challenge_id", "challenge_secret")}
        return await self.token(key, grant_type="challenge", **named)

    async def exchange(self, code: str, verifier: str, key: str | None = None) -> httpx.Response:
        return await self.token(key, grant_type="authorization_code", code=code, code_verifier=verifier)

    async def verify(self, code: str, **fields: object) -> httpx.Response:
        return await self.door.post(
            "/api/auth/verify", {"email": self.email, "code": code} | fields, self.tenant["api_key"]
        )


@pytest.fixture
async def person(mail_door: Door, mail_server: SmtpServer) -> Person:
    tenant = await mail_door.tenant(sms_branding="MyApp", redirect_uris=[CALLBACK, "http://localhost:5173/?a=b"])
    return Person(mail_door, mail_server, tenant, f"ben.{next(_people)}@example.com")


def pkce() -> tuple[str, str]:
    """A verifier and its challenge."""
    verifier = secrets.token_urlsafe(32)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def code_in(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    [code] = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
    return code


def refused(answer: httpx.Response, status: int, code: str) -> bool:
    return (answer.status_code, answer.json()["code"]) == (status, code)


def is_dead(answer: httpx.Response) -> bool:
    return answer.status_code == 400 and "This link no longer works" in answer.text


async def test_the_tab_that_asked_is_logged_in_when_the_link_is_confirmed(person: Person) -> None:
    asked = await person.ask()
    assert len(base64.urlsafe_b64decode(asked["challenge_secret"] + "=")) == 32
    assert "verification code" not in person.mail.part("plain")

    pending = await person.redeem(asked)
    assert refused(pending, 400, "authorization_pending")
    assert int(pending.headers["retry-after"]) >= 1

    confirmed = await person.confirm()
    assert confirmed.status_code == 200
    assert "Go back to the tab" in confirmed.text

    redeemed = await person.redeem(asked)
    assert redeemed.status_code == 200, redeemed.text
    answer = redeemed.json()
    assert set(answer) == {
        *("verified", "token", "token_type", "expires_in", "refresh_token", "user_id", "session_id", "is_new_user")
    }
    claims = jwt.decode(
        answer["token"],
        person.tenant["jwt_secret"],
        algorithms=["HS256"],
        audience=person.tenant["tenant_id"],
        issuer=APP_URL,
    )
    assert (claims["sub"], claims["sid"]) == (answer["user_id"], answer["session_id"])
    assert (claims["amr"], claims["email"]) == (["otp"], person.email)
    assert answer["is_new_user"] is True


async def test_the_app_is_logged_in_by_redirect(person: Person) -> None:
    verifier, challenge = pkce()
    await person.ask(redirect_to=CALLBACK, code_challenge=challenge)

    confirmed = await person.confirm()

    code = code_in(confirmed)
    assert confirmed.headers["location"] == f"{CALLBACK}?code={code}"
    assert confirmed.headers["referrer-policy"] == "no-referrer"
    answer = (await person.exchange(code, verifier)).json()
    assert answer["verified"] is True
    assert refused(await person.exchange(code, verifier), 400, "no_active_challenge")


async def test_a_redirect_keeps_the_query_of_its_uri(person: Person) -> None:
    await person.ask(redirect_to="http://localhost:5173/?a=b", code_challenge=pkce()[1])

    code = code_in(answer := await person.confirm())

    assert answer.headers["location"] == f"http://localhost:5173/?a=b&code={code}"


async def test_the_same_person_is_the_same_user_by_link_and_by_code(
    person: Person, database: asyncpg.Connection
) -> None:
    asked = await person.ask(mode="both")
    await person.confirm()
    by_link = (await person.redeem(asked)).json()
    await person.ask(mode="code")
    by_code = (await person.verify(person.mail.code)).json()

    assert by_link["user_id"] == by_code["user_id"]
    assert (by_link["is_new_user"], by_code["is_new_user"]) == (True, False)
    events = await database.fetch(
        "select type from events where tenant_id = $1 and subject in ($2, $3)",
        *(person.tenant["tenant_id"], asked["challenge_id"], by_link["user_id"]),
    )
    assert Counter(row["type"] for row in events) == Counter(
        ["challenge.opened", "link.confirmed", "challenge.answered", "user.created"]
    )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_opening_a_link_consumes_nothing(person: Person, database: asyncpg.Connection, method: str) -> None:
    asked = await person.ask()
    rows = "select i::text, c::text, l::text from identifiers i, challenges c, links l where i.tenant_id = $1" + (
        " and c.tenant_id = $1 and l.tenant_id = $1"
    )
    before = await database.fetch(rows, person.tenant["tenant_id"])

    answers = await asyncio.gather(*(person.open(method) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert await database.fetch(rows, person.tenant["tenant_id"]) == before
    assert refused(await person.redeem(asked), 400, "authorization_pending")
    assert (await person.confirm()).status_code == 200


async def test_the_page_is_plain_and_tells_nothing_but_the_tenant(person: Person) -> None:
    await person.ask(redirect_to=CALLBACK, code_challenge=pkce()[1])

    page = await person.open()

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy.pop("style-src").startswith("'sha256-")
    assert policy == {
        "default-src": "'none'",
        "form-action": "'self' https://app.example.com",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert "Log in to MyApp" in page.text
    assert page.text.count("<form") == page.text.count("<button") == 1
    assert "<script" not in page.text
    for secret in (person.email, person.path.rpartition("/")[2], person.tenant["tenant_id"], "http"):
        assert secret not in page.text


async def test_a_tenants_name_is_escaped_on_the_page(mail_door: Door, mail_server: SmtpServer) -> None:
    name = "<script>alert('1')</script>"
    body = {"name": name, "slug": f"t{secrets.token_hex(6)}"}
    tenant = (await mail_door.admin("POST", "/api/admin/tenants", body)).json()
    person = Person(mail_door, mail_server, tenant, f"ben.{next(_people)}@example.com")
    await person.ask()

    page = await person.open()

    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text


async def test_every_link_that_is_not_open_gets_the_same_page(person: Person, database: asyncpg.Connection) -> None:
    await person.ask()
    used = person.path
    await person.confirm()
    await person.ask()
    expired = person.path
    await database.execute("update links set expires_at = now() where tenant_id = $1", person.tenant["tenant_id"])
    unknown = "/api/auth/link/" + secrets.token_urlsafe(32)

    pages = [await act(path) for path in (used, expired, unknown, used[:-1]) for act in (person.confirm, _get(person))]

    assert all(is_dead(page) for page in pages)
    assert len({page.text for page in pages}) == 1
    assert len({tuple(sorted(set(page.headers) - {"ratelimit", "ratelimit-policy"})) for page in pages}) == 1
    assert (await person.open("HEAD", used)).status_code == 400


def _get(person: Person) -> Any:
    async def get(path: str) -> httpx.Response:
        return await person.open("GET", path)

    return get


async def at_a_barrier(count: int, *acts: Any) -> list[httpx.Response]:
    """Do all of them, `count` times each, at once."""
    barrier = asyncio.Barrier(count * len(acts))

    async def run(act: Any) -> httpx.Response:
        await barrier.wait()
        answer: httpx.Response = await act()
        return answer

    return list(await asyncio.gather(*(run(act) for act in acts for _ in range(count))))


async def test_of_fifty_confirmations_one_counts(person: Person) -> None:
    await person.ask(redirect_to=CALLBACK, code_challenge=pkce()[1])
    path = person.path

    answers = await at_a_barrier(50, lambda: person.confirm(path))

    assert Counter(answer.status_code for answer in answers) == Counter({303: 1, 400: 49})


@pytest.mark.parametrize("by_code", [True, False])
async def test_of_fifty_redemptions_one_opens_a_session(
    person: Person, database: asyncpg.Connection, by_code: bool
) -> None:
    verifier, challenge = pkce()
    asked = await person.ask(redirect_to=CALLBACK, code_challenge=challenge)
    code = code_in(await person.confirm())

    answers = await at_a_barrier(50, lambda: person.exchange(code, verifier) if by_code else person.redeem(asked))

    assert Counter(answer.status_code for answer in answers) == Counter({200: 1, 400: 49})
    assert await _sessions(database, person) == 1


async def test_both_ways_to_redeem_together_open_one_session(person: Person, database: asyncpg.Connection) -> None:
    verifier, challenge = pkce()
    asked = await person.ask(redirect_to=CALLBACK, code_challenge=challenge)
    code = code_in(await person.confirm())

    await at_a_barrier(10, lambda: person.exchange(code, verifier), lambda: person.redeem(asked))

    assert await _sessions(database, person) == 1


async def test_code_and_link_together_open_one_session(
    mail_door: Door, mail_server: SmtpServer, database: asyncpg.Connection
) -> None:
    for _ in range(10):
        tenant = await mail_door.tenant()
        person = Person(mail_door, mail_server, tenant, f"ben.{next(_people)}@example.com")
        asked = await person.ask(mode="both")
        code, path = person.mail.code, person.path

        async def by_link(person: Person = person, path: str = path, asked: dict[str, Any] = asked) -> httpx.Response:
            await person.confirm(path)
            return await person.redeem(asked)

        async def by_code(person: Person = person, code: str = code) -> httpx.Response:
            return await person.verify(code)

        answers = await at_a_barrier(4, by_link, by_code)

        assert Counter(answer.status_code for answer in answers)[200] == 1
        assert await _sessions(database, person) == 1


async def _sessions(database: asyncpg.Connection, person: Person) -> int:
    count: int = await database.fetchval(
        "select count(*) from sessions where tenant_id = $1", person.tenant["tenant_id"]
    )
    return count


async def test_a_confirmed_link_kills_the_code_and_a_right_code_the_link(person: Person) -> None:
    asked = await person.ask(mode="both")
    code = person.mail.code
    assert (await person.confirm()).status_code == 200
    assert refused(await person.verify(code), 400, "no_active_challenge")
    assert refused(await person.verify(code, challenge_id=asked["challenge_id"]), 400, "no_active_challenge")

    again = await person.ask(mode="both")
    assert (await person.verify(person.mail.code)).status_code == 200
    assert is_dead(await person.open())
    assert is_dead(await person.confirm())
    assert refused(await person.redeem(again), 400, "no_active_challenge")


async def test_confirming_opens_no_session(person: Person, database: asyncpg.Connection) -> None:
    await person.ask()

    await person.confirm()

    assert await _sessions(database, person) == 0
    assert await database.fetchval("select count(*) from users where tenant_id = $1", person.tenant["tenant_id"]) == 0


async def test_of_two_links_of_one_code_the_first_confirmed_ends_both(
    person: Person, database: asyncpg.Connection
) -> None:
    first = await person.ask()
    first_path = person.path
    await database.execute("update identifiers set resend_at = null where tenant_id = $1", person.tenant["tenant_id"])
    second = await person.ask()
    second_path = person.path
    assert first_path != second_path

    assert (await person.confirm(first_path)).status_code == 200

    assert is_dead(await person.confirm(second_path))
    assert refused(await person.redeem(second), 400, "no_active_challenge")
    assert (await person.redeem(first)).status_code == 200


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"redirect_to": "https://evil.example.net/cb"}, "redirect_to"),
        ({"redirect_to": CALLBACK + "/"}, "redirect_to"),
        ({"redirect_to": CALLBACK + "?x=1"}, "redirect_to"),
        ({"redirect_to": CALLBACK + "#x"}, "redirect_to"),
        ({"redirect_to": CALLBACK.upper()}, "redirect_to"),
        ({"redirect_to": CALLBACK.replace("https", "http")}, "redirect_to"),
        ({"redirect_to": CALLBACK.replace("app.", "app.example.com@evil.")}, "redirect_to"),
        ({"redirect_to": "https://app.example.com:443/cb"}, "redirect_to"),
        ({"redirect_to": "https://app.example.com/x/../cb"}, "redirect_to"),
        ({"redirect_to": "https://app.example.com\\@evil.example.net/cb"}, "redirect_to"),
        ({"redirect_to": CALLBACK + "\r\nset-cookie: a=b"}, "redirect_to"),
        ({"redirect_to": "//app.example.com/cb"}, "redirect_to"),
        ({"redirect_to": "javascript:alert(1)"}, "redirect_to"),
        ({"redirect_to": ""}, "redirect_to"),
        ({"redirect_to": CALLBACK, "code_challenge": None}, "code_challenge"),
        ({"redirect_to": CALLBACK, "code_challenge": "short"}, "code_challenge"),
        ({"redirect_to": CALLBACK, "mode": "code"}, "redirect_to"),
        ({"redirect_to": None}, "code_challenge"),
        ({"mode": "sms", "redirect_to": CALLBACK}, "mode"),
    ],
)
async def test_a_link_leads_nowhere_but_where_the_tenant_said(
    person: Person, fields: dict[str, object], field: str
) -> None:
    answer = await person.request(**({"code_challenge": pkce()[1]} | fields))

    assert refused(answer, 422, "validation_failed")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert person.server.sent_to(person.email) == []


async def test_a_redirect_that_was_taken_back_is_followed_no_more(person: Person) -> None:
    await person.ask(redirect_to=CALLBACK, code_challenge=pkce()[1])
    path = f"/api/admin/tenants/{person.tenant['tenant_id']}"
    await person.door.admin("PATCH", path, {"settings": {"redirect_uris": []}})

    assert is_dead(await person.open())
    assert is_dead(await person.confirm())


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example.com/cb",
        "https://app.example.com/cb#x",
        "https://user@app.example.com/",
        "https://app.example.com\\@evil.example.net",
        "https://app.example.com/a b",
        "https://APP.example.com/",
        "http://localhost.evil.example.net/",
        "http://127.0.0.1.evil.example.net/",
        "https://",
        "https://*.example.com/",
        "https://app.example.com/\n",
        "javascript:alert(1)",
        "/cb",
        "myapp://cb",
    ],
)
async def test_a_redirect_uri_is_absolute_and_secure(mail_door: Door, uri: str) -> None:
    body = {"name": "My App", "slug": f"t{secrets.token_hex(6)}", "settings": {"redirect_uris": [uri]}}

    answer = await mail_door.admin("POST", "/api/admin/tenants", body)

    assert refused(answer, 422, "validation_failed")
    assert answer.json()["errors"][0]["field"].startswith("settings.redirect_uris")


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example.com",
        "https://a-b.example.com:8443/x?y=z&a=%20",
        "http://127.0.0.1:8000/",
        "http://localhost",
    ],
)
async def test_a_redirect_uri_may_have_a_port_a_path_and_a_query(mail_door: Door, uri: str) -> None:
    assert (await mail_door.tenant(redirect_uris=[uri]))["settings"]["redirect_uris"] == [uri]


@pytest.mark.parametrize("mode", ["link", "both"])
async def test_a_phone_gets_no_link(person: Person, mode: str) -> None:
    answer = await person.door.post("/api/auth/request", {"phone": new_phone(), "mode": mode}, person.tenant["api_key"])

    assert refused(answer, 422, "validation_failed")
    assert answer.json()["errors"][0]["field"] == "mode"


async def test_a_code_alone_has_no_secret(person: Person) -> None:
    assert "challenge_secret" not in await person.ask(mode="code")
    assert "http" not in person.mail.part("plain")


async def test_a_link_begins_with_app_url_whatever_the_host_says(person: Person) -> None:
    headers = {"host": "evil.example.net", "x-forwarded-host": "evil.example.net", "x-forwarded-proto": "http"}
    body = {"email": person.email, "mode": "link"}
    asked = await person.door.client.post(
        "/api/auth/request", json=body, headers=headers | {"x-api-key": person.tenant["api_key"]}
    )

    assert asked.status_code == 200, asked.text
    assert person.mail.link.startswith(APP_URL + "/api/auth/link/")
    assert b"evil" not in person.mail.raw
    page = await person.open(host="evil.example.net")
    assert "evil" not in page.text + page.headers["content-security-policy"]


async def test_a_wrong_verifier_opens_nothing_and_spends_nothing(person: Person) -> None:
    verifier, challenge = pkce()
    await person.ask(redirect_to=CALLBACK, code_challenge=challenge)
    code = code_in(await person.confirm())

    for wrong in (pkce()[0], challenge, verifier + "x"):
        assert refused(await person.exchange(code, wrong), 400, "no_active_challenge")

    assert (await person.exchange(code, verifier)).status_code == 200


async def test_a_code_is_good_for_a_minute(person: Person, database: asyncpg.Connection) -> None:
    verifier, challenge = pkce()
    await person.ask(redirect_to=CALLBACK, code_challenge=challenge)
    code = code_in(await person.confirm())
    await database.execute(
        "update links set confirmed_at = now() - interval '61 s' where tenant_id = $1", person.tenant["tenant_id"]
    )

    assert refused(await person.exchange(code, verifier), 400, "no_active_challenge")


async def test_no_secret_no_session(person: Person) -> None:
    asked = await person.ask()
    await person.confirm()

    for wrong in (
        asked | {"challenge_secret": secrets.token_urlsafe(32)},
        asked | {"challenge_secret": asked["challenge_secret"] + "="},
        asked | {"challenge_id": new_id("ch")},
    ):
        assert refused(await person.redeem(wrong), 400, "no_active_challenge")

    assert (await person.redeem(asked)).status_code == 200


async def test_a_confirmed_link_is_of_no_use_to_another_tenant(person: Person) -> None:
    verifier, challenge = pkce()
    asked = await person.ask(redirect_to=CALLBACK, code_challenge=challenge)
    code = code_in(await person.confirm())
    other = await person.door.tenant()

    for key in (other["api_key"], other["secret_key"], person.tenant["test_key"]):
        assert refused(await person.redeem(asked, key), 400, "no_active_challenge")
        assert refused(await person.exchange(code, verifier, key), 400, "no_active_challenge")

    assert (await person.exchange(code, verifier)).status_code == 200


async def test_a_banned_user_is_refused_only_in_the_end(person: Person, database: asyncpg.Connection) -> None:
    await person.ask(mode="both")
    await person.verify(person.mail.code)
    await database.execute(
        "update users set banned_until = 'infinity' where tenant_id = $1", person.tenant["tenant_id"]
    )

    asked = await person.ask()
    assert (await person.confirm()).status_code == 200

    assert refused(await person.redeem(asked), 403, "user_banned")
    assert refused(await person.redeem(asked), 400, "no_active_challenge")
    assert await _sessions(database, person) == 1


async def test_a_known_address_and_an_unknown_one_get_the_same_answers(person: Person) -> None:
    known = await person.ask()
    await person.confirm()
    await person.redeem(known)
    stranger = Person(person.door, person.server, person.tenant, f"ben.{next(_people)}@example.com")

    seen = []
    for who in (person, stranger):
        asked = await who.request()
        pending = await who.redeem(asked.json())
        page, confirmed = await who.open(), await who.confirm()
        varying = {"challenge_id": "", "challenge_secret": "", "destination": ""}
        seen.append(
            (asked.json() | varying, pending.json() | {"request_id": ""}, page.text, confirmed.text, set(asked.json()))
        )
    assert seen[0] == seen[1]


async def test_a_suspended_tenants_links_are_dead(person: Person) -> None:
    await person.ask()
    await person.door.admin("POST", f"/api/admin/tenants/{person.tenant['tenant_id']}/suspend")

    assert is_dead(await person.open())
    assert is_dead(await person.confirm())


async def test_no_token_secret_or_code_is_kept_or_logged(person: Person, database: asyncpg.Connection) -> None:
    verifier, challenge = pkce()
    asked = await person.ask(mode="both", redirect_to=CALLBACK, code_challenge=challenge)
    link = person.path
    await person.open()
    code = code_in(await person.confirm())
    await person.exchange(code, verifier)

    tables = ("links", "identifiers", "challenges", "messages", "events", "sessions")
    rows = [await database.fetch(f"select t::text from {table} t") for table in tables]
    everything = "\n".join(row[0] for found in rows for row in found) + await person.door.log()
    for secret in (link.rpartition("/")[2], asked["challenge_secret"], code, verifier):
        assert secret not in everything
        assert secret.encode().hex() not in everything


async def test_confirmations_count_against_the_clients_address(start_app: Started, mail_server: SmtpServer) -> None:
    door = await start_app(
        SMTP_URL=mail_server.url, EMAIL_FROM="no-reply@example.com", APP_URL=APP_URL, RATE_LIMIT_MAX="3"
    )
    client = {"x-forwarded-for": "203.0.113.77"}
    path = "/api/auth/link/" + secrets.token_urlsafe(32)

    answers = [await door.client.post(path, headers=client) for _ in range(4)]
    opened = [await door.client.get(path, headers=client) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [400, 400, 400, 429]
    assert int(answers[3].headers["retry-after"]) >= 1
    assert {answer.status_code for answer in opened} == {400}


async def test_a_form_is_confirmed_whatever_origins_the_operator_allows(
    start_app: Started, mail_server: SmtpServer
) -> None:
    door = await start_app(
        SMTP_URL=mail_server.url,
        EMAIL_FROM="no-reply@example.com",
        APP_URL=APP_URL,
        CORS_ORIGINS="https://app.example.com",
    )
    person = Person(door, mail_server, await door.tenant(), f"ben.{next(_people)}@example.com")
    await person.ask()

    assert (await person.confirm(origin="null")).status_code == 200


async def test_the_outbox_sends_the_same_link_again(person: Person, database: asyncpg.Connection) -> None:
    asked = await person.ask()
    first = person.mail
    await database.execute(
        "update messages set state = 'queued', trying = null, provider = null where tenant_id = $1",
        person.tenant["tenant_id"],
    )

    await outbox.finish(person.door.services)

    assert person.mail is not first
    assert person.mail.part("plain") == first.part("plain")
    await person.confirm()
    assert (await person.redeem(asked)).status_code == 200


@pytest.mark.parametrize(
    "grant",
    [
        {},
        {"grant_type": "password"},
        {"grant_type": "challenge"},
        {"grant_type": "authorization_code", "code": "x"},
        {"grant_type": "authorization_code", "code": "x", "code_verifier": "short"},
        {"grant_type": "challenge", "challenge_id": "ch_x", "challenge_secret": "x"},
    ],
)
async def test_a_grant_that_is_none_is_refused(person: Person, grant: dict[str, Any]) -> None:
    assert refused(await person.token(**grant), 422, "validation_failed")


async def test_in_the_sandbox_nothing_is_mailed_and_the_code_still_works(person: Person) -> None:
    key = person.tenant["test_key"]
    asked = await person.door.post("/api/auth/request", {"email": person.email, "mode": "both"}, key)

    assert asked.status_code == 200
    assert refused(await person.redeem(asked.json(), key), 400, "authorization_pending")
    answered = await person.door.post("/api/auth/verify", {"email": person.email, "code": "000000"}, key)
    assert answered.status_code == 200
    assert refused(await person.redeem(asked.json(), key), 400, "no_active_challenge")
    assert person.server.sent_to(person.email) == []
