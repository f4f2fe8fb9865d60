"""The pages and OAuth endpoints of a tenant at a host of its own; no other host shows them."""

import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx
import jwt
import pytest

from auth1.authn.own_hosts import COMMON_PATHS
from auth1.challenges import magic_link, messages
from auth1.core.crypto import s256
from auth1.messaging.store import ClaimedMessage
from auth1.oauth.issuers import issuer_of
from auth1.pages.forms import FIELD
from auth1.tenants.settings import logo_path
from tests.conftest import Started
from tests.hosted.browser import Page
from tests.hosts.conftest import Owner
from tests.oauth.login_app import REDIRECT_URI, VERIFIER, LoginApp
from tests.support.api_client import ApiClient
from tests.support.process import until

CONFIGURATION = "/.well-known/openid-configuration"
METADATA = "/.well-known/oauth-authorization-server"
CODE = "000000"  # of the sandbox


@pytest.fixture
async def canonical(owner: Owner) -> Owner:
    await owner.verified(canonical=True)
    return owner


@pytest.fixture
async def visitor(owner: Owner) -> AsyncIterator[httpx.AsyncClient]:
    async with owner.client() as client:
        yield client


@pytest.mark.parametrize("sandbox", ["", "/test"])
async def test_metadata_of_a_canonical_host_names_it(
    canonical: Owner, visitor: httpx.AsyncClient, sandbox: str
) -> None:
    by_openid = (await visitor.get(f"{sandbox}{CONFIGURATION}")).json()
    by_rfc_8414 = (await visitor.get(f"{METADATA}{sandbox}")).json()

    issuer = f"https://{canonical.name}{sandbox}"
    assert by_openid == by_rfc_8414
    assert by_openid["issuer"] == issuer
    addresses = [value for name, value in by_openid.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(addresses) == 8
    assert all(address.startswith(f"{issuer}/") for address in addresses)
    assert (await visitor.get(by_openid["jwks_uri"])).status_code == 200


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("{path}/authorize?client_id=a%20b&state=%25", "https://{host}/authorize?client_id=a%20b&state=%25"),
        ("{path}/test/account", "https://{host}/test/account"),
        ("{path}/login/li_1", "https://{host}/login/li_1"),
        (f"{{path}}{CONFIGURATION}", f"https://{{host}}{CONFIGURATION}"),
        (f"{METADATA}{{path}}", f"https://{{host}}{METADATA}"),
        (f"{METADATA}{{path}}/test", f"https://{{host}}{METADATA}/test"),
    ],
)
async def test_other_address_of_an_issuer_redirects_to_it(canonical: Owner, path: str, location: str) -> None:
    names = {"path": canonical.path, "host": canonical.name}

    answer = await canonical.api.client.get(path.format(**names))

    assert (answer.status_code, answer.headers["location"]) == (308, location.format(**names))
    assert answer.headers["cache-control"] == "no-store"


async def test_host_that_is_not_canonical_redirects_to_the_issuer(owner: Owner, visitor: httpx.AsyncClient) -> None:
    await owner.verified()
    moved = {path: await visitor.get(path) for path in ("/authorize?a=b", f"/test{CONFIGURATION}", METADATA)}

    assert {path: answer.headers.get("location") for path, answer in moved.items()} == {
        "/authorize?a=b": f"{owner.url}/authorize?a=b",
        f"/test{CONFIGURATION}": f"{owner.url}/test{CONFIGURATION}",
        METADATA: f"{owner.api.settings.app_url}{METADATA}{owner.path}",
    }
    assert (await visitor.get("/jwks")).status_code == 200
    assert (await visitor.post("/authorize")).status_code == 308


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/health", "/metrics", "/docs", "/api/auth/me", "/api/tenant/settings", "/api/admin/tenants"),
        *("/.well-known/jwks.json", "/t/{slug}/account", "/test/test/account"),
    ],
)
async def test_host_of_a_tenant_has_nothing_else(canonical: Owner, visitor: httpx.AsyncClient, path: str) -> None:
    answer = await visitor.get(path.format(slug=canonical.tenant["slug"]))

    assert (answer.status_code, answer.json()["error"]) == (404, "invalid_request")


@pytest.mark.parametrize("spelling", ["upper", "{host}.", "{host}:8443", "x{host}", "{host}.example.net"])
async def test_other_spelling_of_a_host_is_an_unknown_host(canonical: Owner, spelling: str) -> None:
    named = canonical.name.upper() if spelling == "upper" else spelling.format(host=canonical.name)
    client = canonical.api.client

    root = await client.get(CONFIGURATION, headers={"host": named})
    page = await client.get(f"{canonical.path}/account", headers={"host": named})

    assert root.json()["issuer"] == canonical.api.settings.app_url
    assert (page.status_code, "location" in page.headers) == (404, False)


async def test_default_port_may_be_named(canonical: Owner, visitor: httpx.AsyncClient) -> None:
    for named in (canonical.name, f"{canonical.name}:443"):
        assert (await visitor.get("/account", headers={"host": named})).status_code == 303


async def test_pages_are_not_shown_at_an_unknown_host(owner: Owner) -> None:
    answers = {
        host: await owner.api.client.get(f"{owner.path}/account", headers={"host": host})
        for host in ("localhost:3000", "LOCALHOST:3000", "evil.example.net", "localhost.example.net", "10.0.0.1:3000")
    }

    assert [answer.status_code for answer in answers.values()] == [303, 303, 404, 404, 404]
    assert (await owner.api.client.get(f"{owner.path}/jwks", headers={"host": "auth1:3000"})).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "localhost:3001", "127.0.0.1:3000", "[::1]:3000", "[::1]"])
async def test_other_loopback_name_leads_to_the_app_url(owner: Owner, host: str) -> None:
    page = await owner.api.client.get(f"{owner.path}/account?lang=de", headers={"host": host})

    assert (page.status_code, page.headers["location"]) == (308, f"{owner.url}/account?lang=de")


async def test_metadata_are_served_at_internal_names(canonical: Owner) -> None:
    headers = {"host": "auth1.internal:3000"}
    configuration = await canonical.api.client.get(f"{canonical.path}{CONFIGURATION}", headers=headers)

    assert configuration.json()["issuer"] == f"https://{canonical.name}"


@pytest.mark.parametrize("header", ["x-forwarded-host", "forwarded", "x-original-host", "x-host"])
async def test_only_the_host_header_counts(canonical: Owner, header: str) -> None:
    value = f"host={canonical.name}" if header == "forwarded" else canonical.name
    account = await canonical.api.client.get("/account", headers={header: value})
    issuer = await canonical.api.client.get(f"{canonical.path}/account", headers={header: value})

    assert account.status_code == 404
    assert issuer.headers["location"] == f"https://{canonical.name}/account"


async def test_host_of_one_tenant_does_not_show_another_one(canonical: Owner, other: Owner) -> None:
    await other.verified(canonical=True)

    async with other.client() as client:
        assert (await client.get(CONFIGURATION)).json()["issuer"] == f"https://{other.name}"
    answer = await canonical.api.client.get(f"{other.path}/account", headers={"host": canonical.name})
    assert answer.status_code == 404


class Visitor:
    """A browser without scripts at the pages of a host."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.page: Page

    async def open(self, url: str) -> Page:
        answer = await self.client.get(url)
        while (location := answer.headers.get("location", "")).startswith(str(self.client.base_url).rstrip("/")):
            answer = await self.client.get(location)
        self.page = Page(answer)
        return self.page

    async def submit(self, do: str, **typed: str) -> Page:
        hidden = next((form for form in self.page.forms if FIELD in form), {})
        headers = {"origin": str(self.client.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
        answer = await self.client.post(self.page.response.url, data={**hidden, "do": do, **typed}, headers=headers)
        return await self.open(answer.headers["location"])


async def test_sign_in_at_a_host_of_its_own(
    canonical: Owner, visitor: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    app = LoginApp(canonical.api, database, canonical.tenant, sandbox=True)
    await app.create(first_party=True)
    issuer, browser = f"https://{canonical.name}/test", Visitor(visitor)
    query = {
        **{"client_id": app.client_id, "redirect_uri": REDIRECT_URI, "response_type": "code", "scope": "openid email"},
        **{"code_challenge": s256(VERIFIER), "code_challenge_method": "S256", "state": "s"},
    }
    await browser.open(str(httpx.URL(f"{issuer}/authorize", params=query)))
    await browser.submit("proceed", identifier=f"{secrets.token_hex(6)}@example.com")
    last = await browser.submit("verify", code=CODE)
    back = parse_qs(urlsplit(last.leads_to or "").query)
    form = {"grant_type": "authorization_code", "code": back["code"][0], "redirect_uri": REDIRECT_URI}
    credentials = {"client_id": app.client_id, "client_secret": app.secret, "code_verifier": VERIFIER}
    tokens = (await visitor.post("/test/token", data=form | credentials)).json()
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    userinfo = await visitor.get("/test/userinfo", headers=headers)
    logout = await visitor.get("/test/logout", params={"id_token_hint": tokens["id_token"]})

    assert back["iss"] == [issuer]
    for token in (tokens["id_token"], tokens["access_token"]):
        assert jwt.decode(token, options={"verify_signature": False})["iss"] == issuer
    assert userinfo.status_code == 200
    cookies = [cookie for cookie in visitor.cookies.jar if cookie.domain.startswith(canonical.name)]
    assert cookies
    assert all(cookie.name.startswith("__Host-auth1_") and cookie.secure and cookie.path == "/" for cookie in cookies)
    assert "signed out" in Page(logout).text.lower()


async def test_request_is_pushed_at_each_address_of_the_issuer(
    canonical: Owner, visitor: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    app = LoginApp(canonical.api, database, canonical.tenant)
    await app.create()
    form = {
        **{"client_id": app.client_id, "redirect_uri": REDIRECT_URI, "response_type": "code", "scope": "openid"},
        **{"code_challenge": s256(VERIFIER), "code_challenge_method": "S256", "client_secret": app.secret},
    }
    for push, path in ((visitor.post, "/par"), (canonical.api.client.post, f"{canonical.path}/par")):
        pushed = await push(path, data=form)
        query = {"client_id": app.client_id, "request_uri": pushed.json()["request_uri"]}
        begun = await visitor.get("/authorize", params=query)

        assert (pushed.status_code, begun.status_code) == (201, 303)
        assert begun.headers["location"].startswith(f"https://{canonical.name}/login/")
        assert (await visitor.get(begun.headers["location"])).status_code == 200


async def test_tokens_of_a_former_issuer_are_accepted_while_it_is_the_tenants(
    owner: Owner, visitor: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    app = LoginApp(owner.api, database, owner.tenant)
    await app.create()
    before = await app.tokens()
    host = await owner.verified(canonical=True)
    at_host = (await app.refresh(before["refresh_token"])).json()
    hint = {"id_token_hint": before["id_token"]}

    assert [issuer_in(tokens) for tokens in (before, at_host)] == [owner.url, f"https://{owner.name}"]
    assert [await app.is_active(tokens["access_token"]) for tokens in (before, at_host)] == [True, True]
    assert (await app.userinfo(before["access_token"])).status_code == 200
    assert "signed out" in Page(await visitor.get("/logout", params=hint)).text.lower()
    await owner.remove(host)
    assert [await app.is_active(tokens["access_token"]) for tokens in (before, at_host)] == [True, False]


async def test_logout_tokens_name_the_canonical_host(canonical: Owner) -> None:
    services = canonical.api.services
    tenant = await services.tenants.find_slug(canonical.tenant["slug"], sandbox=True)
    assert tenant is not None

    issuer = issuer_of(services, tenant, canonical.tenant["slug"])

    assert (issuer.url, issuer.other_urls) == (f"https://{canonical.name}/test", (f"{canonical.url}/test",))


def issuer_in(tokens: dict[str, str]) -> str:
    """Return the issuer of an access token."""
    claims: dict[str, str] = jwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert claims["aud"] == claims["iss"]
    return claims["iss"]


async def test_links_of_emails_follow_the_canonical_host(canonical: Owner, other: Owner) -> None:
    await other.verified(canonical=True)
    body = {"email": f"{secrets.token_hex(6)}@example.com", "mode": "link"}
    link = (await canonical.api.post("/api/auth/request", body, canonical.tenant["test_key"])).json()["link"]
    path = urlsplit(link).path

    assert link.startswith(f"https://{canonical.name}/api/auth/link/")
    shown = {}
    for host in (canonical.name, other.name):
        async with canonical.client(host) as client:
            shown[host] = [(await client.get(path)).status_code]
            if host == other.name:
                shown[host].append((await client.post(path)).status_code)
    assert shown == {canonical.name: [200], other.name: [400, 400]}
    async with canonical.client() as client:
        assert (await client.post(path)).status_code == 200  # the other host did not confirm it
    preview = {"channel": "email", "mode": "link"}
    headers = {"x-api-key": canonical.tenant["secret_key"]}
    text = await canonical.api.client.post("/api/tenant/texts/preview", json=preview, headers=headers)
    assert f"https://{canonical.name}/api/auth/link/" in text.json()["text"]


def test_queued_email_follows_the_canonical_host(host_api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(messages, "render_notice", lambda envelope, notice: seen.append(envelope.base_url))
    fields: dict[str, Any] = dict.fromkeys(ClaimedMessage._fields)
    fields |= {"settings": "{}", "tenant_id": "tn_1", "notice": "x", "canonical_host": "login.example.com"}

    for host in ("login.example.com", None):
        message = ClaimedMessage(**fields | {"canonical_host": host})
        messages.render_claimed(host_api.services.keyring, "https://auth.example.com", message)

    assert seen == ["https://login.example.com", "https://auth.example.com"]


def test_common_paths_are_those_of_links_and_logos() -> None:
    assert magic_link.PATH.startswith(COMMON_PATHS)
    assert logo_path("digest").startswith(COMMON_PATHS)


async def test_removed_host_stops_at_once_on_every_worker(canonical: Owner, start_app: Started) -> None:
    """The other worker learns of a new host within a second or two, and of its end with the next request."""
    worker = Owner(await start_app(background=True), canonical.dns, canonical.tenant, canonical.name)

    async def is_served(owner: Owner) -> bool:
        async with owner.client() as client:
            return (await client.get("/account")).status_code == 303

    async def is_forgotten() -> bool:
        tenant = await worker.api.services.tenants.find_slug(canonical.tenant["slug"], sandbox=False)
        return tenant is not None and not tenant.hosts

    await until(lambda: is_served(worker))
    [shown] = (await canonical.call("GET")).json()["data"]

    await canonical.remove(shown)

    await until(is_forgotten)  # the message of Redis has arrived
    assert not await is_served(worker)
    assert not await is_served(canonical)
    metadata = await worker.api.client.get(f"{canonical.path}{CONFIGURATION}")
    assert metadata.json()["issuer"] == canonical.url
