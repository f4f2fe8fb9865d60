"""`auth1 apps` registers and manages applications."""

import json
import secrets

import pytest

from tests.cli.conftest import Run
from tests.support.commands import Ended

CALLBACK = "https://wiki.example.com/callback"
BACKCHANNEL = "https://wiki.example.com/backchannel-logout"


@pytest.fixture(scope="module")
async def slug(run: Run) -> str:
    slug = f"cli-{secrets.token_hex(6)}"
    assert (await run("tenants", "create", "My App", "--slug", slug)).code == 0
    return slug


def shown(ended: Ended) -> dict[str, object]:
    """Return the JSON that a command printed."""
    assert ended.code == 0, ended
    printed: dict[str, object] = json.loads(ended.out)
    return printed


async def test_application_is_registered_updated_and_deleted(run: Run, slug: str) -> None:
    apps = ("--tenant", slug, "--json")
    settings = ("--kind", "web", "--redirect-uri", CALLBACK, "--no-require-pkce", "--first-party", "--alg", "ES256")
    created = shown(await run("apps", "create", "Wiki", *settings, *apps))
    client_id = str(created["client_id"])
    update = (
        "--logout-uri",
        "https://wiki.example.com/",
        "--backchannel-logout-uri",
        BACKCHANNEL,
        "--name",
        "Notes",
        "--no-enabled",
        "--require-pkce",
    )
    updated = shown(await run("apps", "update", client_id, *update, *apps))
    rotated = shown(await run("apps", "rotate", client_id, *apps))
    listed = await run("apps", "list", "--tenant", slug)
    deleted = shown(await run("apps", "delete", client_id, *apps))

    assert str(created["client_secret"]).startswith(f"auth1_cs_{slug}_")
    assert (created["redirect_uris"], created["first_party"], created["require_pkce"]) == ([CALLBACK], True, False)
    changed = {
        "name": "Notes",
        "logout_uris": ["https://wiki.example.com/"],
        "enabled": False,
        "require_pkce": True,
        "backchannel_logout_uri": BACKCHANNEL,
    }
    assert updated == {name: value for name, value in created.items() if name != "client_secret"} | changed
    assert rotated["client_secret"] != created["client_secret"]
    assert listed.out == f"{client_id}  web       disabled  Notes\n"
    assert deleted == {"deleted": True}


async def test_application_without_a_secret_prints_none(run: Run, slug: str) -> None:
    options = ("--kind", "native", "--redirect-uri", "com.example.app:/callback", "--alg", "ES256", "--tenant", slug)

    ended = await run("apps", "create", "Phone", *options)

    assert (ended.code, [line.split()[0] for line in ended.out.splitlines()]) == (0, ["client_id", "name", "kind"])


async def test_invalid_redirect_uri_is_named(run: Run, slug: str) -> None:
    options = ("--kind", "web", "--redirect-uri", "http://wiki.example.com/", "--tenant", slug)

    ended = await run("apps", "create", "Wiki", *options)

    assert (ended.code, ended.out) == (1, "")
    assert "redirect_uris[0]" in ended.err
