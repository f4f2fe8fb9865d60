"""`auth1 hosts` adds, verifies and removes hosts of tenants."""

import json
import secrets

from tests.cli.conftest import Run
from tests.support.dns import DnsServer


async def test_host_is_added_verified_made_canonical_and_removed(run: Run) -> None:
    slug = f"cli-{secrets.token_hex(6)}"
    assert (await run("tenants", "create", "My App", "--slug", slug)).code == 0
    host, tenant = f"login.{slug}.example.com", ("--tenant", slug)
    added = json.loads((await run("hosts", "add", host, *tenant, "--json")).out)
    async with DnsServer() as server:
        dns = {"DNS_SERVERS": f"127.0.0.1:{server.port}"}
        early = await run("hosts", "verify", host, *tenant, **dns)
        server.texts[added["txt_name"]] = [added["txt_value"]]
        verified = json.loads((await run("hosts", "verify", host, *tenant, "--json", **dns)).out)
    listed = [await run("hosts", "list", *tenant)]
    for act in ("make-canonical", "unset-canonical"):
        assert (await run("hosts", act, host, *tenant)).code == 0
        listed.append(await run("hosts", "list", *tenant))
    removed = await run("hosts", "remove", host, *tenant)
    unknown = await run("hosts", "remove", host, *tenant)

    assert (early.code, added["txt_name"] in early.err) == (1, True)
    assert verified["verified_at"] is not None
    assert [one.out.split()[1:] for one in listed] == [[state, host] for state in ("verified", "canonical", "verified")]
    assert removed.out == f"removed: {host}\n"
    assert (unknown.code, unknown.out) == (1, "")
