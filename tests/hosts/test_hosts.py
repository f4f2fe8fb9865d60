"""Hosts are added, verified, made canonical and removed; no tenant gets the host of another one."""

import asyncio
import secrets

import asyncpg
import httpx
import pytest

from auth1.core.outbound.text_records import TextResolver
from tests.hosts.conftest import Owner
from tests.support.api_client import ApiClient

CONFIGURATION = "/.well-known/openid-configuration"


def code(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of an error."""
    return answer.status_code, answer.json()["code"]


async def test_host_is_added_verified_and_made_canonical(owner: Owner, database: asyncpg.Connection) -> None:
    added = await owner.add()
    verified = (await owner.verify(added)).json()
    canonical = (await owner.set_canonical(added, canonical=True)).json()
    repeated = [await owner.verify(added), await owner.set_canonical(added, canonical=True)]
    listed = (await owner.call("GET")).json()["data"]
    operators = await owner.api.admin("GET", f"/api/admin/tenants/{owner.tenant['tenant_id']}/hosts")
    await owner.remove(added)

    assert (added["txt_name"], added["verified_at"]) == (f"_auth1.{owner.name}", None)
    assert verified == added | {"verified_at": verified["verified_at"]}
    assert canonical == verified | {"canonical": True}
    assert [one.json() for one in repeated] == [canonical, canonical]
    assert listed == operators.json()["data"] == [canonical]
    assert (await owner.call("GET")).json() == {"data": [], "next_cursor": None}
    query = "select type, data from events where tenant_id = $1 and subject = $2 order by id"
    events = await database.fetch(query, owner.tenant["tenant_id"], added["host_id"])
    assert [row["type"] for row in events] == ["host.added", "host.verified", "host.updated", "host.removed"]
    assert all(owner.name in row["data"] for row in events)


async def test_list_of_hosts_has_pages(owner: Owner) -> None:
    added = [await owner.add(f"{name}.{owner.name}") for name in ("first", "second", "third")]
    pages = [(await owner.call("GET", "?limit=2")).json()]
    pages.append((await owner.call("GET", f"?limit=2&cursor={pages[0]['next_cursor']}")).json())
    wrong = [await owner.call("GET", query) for query in ("?limit=0", "?cursor=%00", "?page=1")]

    assert [page["data"] for page in pages] == [added[:2], added[2:]]
    assert pages[1]["next_cursor"] is None
    assert [code(answer) for answer in wrong] == [(422, "validation_failed")] * 3


async def test_one_host_is_canonical(owner: Owner) -> None:
    first = await owner.verified(canonical=True)
    second = await owner.verified(f"second.{owner.name}", canonical=True)
    shown = {host["host"]: host["canonical"] for host in (await owner.call("GET")).json()["data"]}
    none = (await owner.set_canonical(second, canonical=False)).json()

    assert shown == {first["host"]: False, second["host"]: True}
    assert none["canonical"] is False


@pytest.mark.parametrize(
    "name",
    [
        "LOGIN.example.com",
        "login.example.com.",
        "login.example.com:8443",
        "127.0.0.1",
        "[::1]",
        "0x7f.1",
        "münchen.example.com",
        "xn--99999999.example.com",  # encodes nothing
        "ab--c.example.com",
        "intranet",
        "app.localhost",
        "localhost",  # that of APP_URL
        "a_b.example.com",
        "-.example.com",
        "*.example.com",
        "login.example.com/",
        "login..example.com",
        "",
        f"{'a.' * 125}example.com",
    ],
)
async def test_name_that_is_no_host_of_its_own_is_rejected(owner: Owner, name: str) -> None:
    assert code(await owner.call("POST", body={"host": name})) == (422, "validation_failed")


async def test_international_name_is_accepted_in_its_encoded_form(owner: Owner) -> None:
    assert (await owner.add(f"xn--mnchen-3ya.{secrets.token_hex(4)}.example.com"))["host"].startswith("xn--mnchen-3ya.")


async def test_host_of_app_url_is_rejected(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth1.hosts.service.host_of", lambda url: owner.name)

    assert code(await owner.call("POST", body={"host": owner.name})) == (422, "validation_failed")


async def test_tenant_adds_a_host_once_and_ten_at_most(owner: Owner) -> None:
    await owner.add()
    assert code(await owner.call("POST", body={"host": owner.name})) == (409, "conflict")
    for number in range(9):
        await owner.add(f"{number}.{owner.name}")

    assert code(await owner.call("POST", body={"host": f"x.{owner.name}"})) == (409, "conflict")


async def test_host_without_its_record_is_not_verified(owner: Owner) -> None:
    host = await owner.add()
    owner.dns.texts[host["txt_name"]] = ["v=spf1 -all", host["txt_value"] + "0"]

    answer = await owner.verify(host)

    assert code(answer) == (409, "conflict")
    assert host["txt_value"] in answer.json()["detail"]
    assert code(await owner.set_canonical(host, canonical=True)) == (409, "conflict")
    async with owner.client() as client:
        assert (await client.get(CONFIGURATION)).json()["issuer"] == owner.api.settings.app_url  # of session tokens
        assert (await client.get("/authorize")).status_code == 404


async def test_old_record_does_not_verify_a_host_that_is_added_again(owner: Owner) -> None:
    await owner.remove(await owner.verified())
    again = (await owner.call("POST", body={"host": owner.name})).json()

    assert code(await owner.verify(again)) == (409, "conflict")


async def test_unavailable_dns_verifies_nothing(owner: Owner) -> None:
    host = await owner.add()
    owner.dns.broken.add(host["txt_name"])

    answer = await owner.verify(host)

    assert code(answer) == (503, "unavailable")
    assert answer.headers["retry-after"] == "5"


async def test_host_of_another_tenant_is_not_found(owner: Owner, other: Owner) -> None:
    host = await owner.verified()

    answers = [
        await other.verify(host),
        await other.set_canonical(host, canonical=True),
        await other.call("DELETE", f"/{host['host_id']}"),
    ]

    assert [code(answer) for answer in answers] == [(404, "not_found")] * 3


async def test_verified_host_is_not_taken_over(owner: Owner, other: Owner) -> None:
    await owner.verified()
    claimed = await other.add(owner.name)  # with a record of its own

    assert code(await other.verify(claimed)) == (409, "conflict")
    assert claimed["txt_value"] not in (await owner.call("GET")).text
    async with owner.client() as client:
        assert (await client.get("/authorize")).headers["location"] == f"{owner.url}/authorize"


async def test_claim_of_another_tenant_does_not_block_the_owner(owner: Owner, other: Owner) -> None:
    await other.add(owner.name)

    assert (await owner.verified())["verified_at"]


async def test_one_of_two_tenants_that_race_gets_the_host(owner: Owner, other: Owner) -> None:
    claims = [(tenant, await tenant.add(owner.name)) for tenant in (owner, other)]

    answers = await asyncio.gather(*(tenant.verify(claim) for tenant, claim in claims for _ in range(2)))

    states = [(await tenant.call("GET")).json()["data"][0]["verified_at"] for tenant, _ in claims]
    assert sum(state is not None for state in states) == 1
    assert {answer.status_code for answer in answers} == {200, 409}


async def test_removed_host_is_free_for_another_tenant(owner: Owner, other: Owner) -> None:
    await owner.remove(await owner.verified(canonical=True))
    await other.verified(owner.name, canonical=True)

    async with owner.client() as client:
        assert (await client.get(CONFIGURATION)).json()["jwks_uri"] == f"https://{owner.name}/jwks"
    metadata = await owner.api.client.get(f"{owner.path}{CONFIGURATION}")
    assert metadata.json()["issuer"] == owner.url


async def test_host_of_app_url_stays_with_auth1_whatever_is_stored(owner: Owner, database: asyncpg.Connection) -> None:
    """An operator may change APP_URL to a host that a tenant has."""
    host = await owner.verified()
    await database.execute("update hosts set host = 'localhost' where id = $1", host["host_id"])
    hosts = owner.api.services.own_hosts
    try:
        await owner.api.services.tenants.publish_invalidation(owner.tenant["tenant_id"])
        await hosts.refresh()
        assert b"localhost" not in hosts.sites
    finally:
        await database.execute("delete from hosts where id = $1", host["host_id"])


async def test_default_resolver_queries_the_servers_of_the_system(api: ApiClient) -> None:
    assert isinstance(api.services.text_records, TextResolver)
    assert api.settings.dns_servers == ()
