"""Forms that a page of another origin makes a browser send to the host of a tenant: they change nothing."""

import secrets

import pytest

from tests.hosted.browser import Page
from tests.hosts.conftest import Owner
from tests.hosts.test_own_hosts import CODE, Visitor

ORIGINS = ("null", "http://{host}", "https://{host}:8443", "https://x.{host}", "https://{other}", "{app_url}")


@pytest.fixture
async def visitor(owner: Owner, other: Owner) -> Visitor:
    await owner.verified(canonical=True)
    await other.verified(canonical=True)
    return Visitor(owner.client())


def forged(owner: Owner, other: Owner, origin: str) -> dict[str, str]:
    names = {"host": owner.name, "other": other.name, "app_url": owner.api.settings.app_url}
    return {"origin": origin.format(**names)}


@pytest.mark.parametrize("origin", ORIGINS)
async def test_form_of_another_origin_is_rejected_at_a_host(
    owner: Owner, other: Owner, visitor: Visitor, origin: str
) -> None:
    """The forms have the right token: only their origin is wrong."""
    headers = forged(owner, other, origin)
    start = await visitor.open("/test/account")
    hidden = next(form for form in start.forms if "csrf" in form)
    address = f"{secrets.token_hex(6)}@example.com"

    login = await visitor.client.post(
        start.response.url, data={**hidden, "do": "proceed", "identifier": address}, headers=headers
    )
    assert login.status_code == 403
    await visitor.submit("proceed", identifier=address)
    account = await visitor.submit("verify", code=CODE)
    hidden = next(form for form in account.forms if "csrf" in form)
    erased = await visitor.client.post(account.response.url, data={**hidden, "do": "erase_now"}, headers=headers)
    logout = Page(await visitor.client.get("/test/logout"))
    hidden = next(form for form in logout.forms if "csrf" in form)
    left = await visitor.client.post("/test/logout", data=hidden, headers=headers)

    assert (erased.status_code, left.status_code) == (403, 403)
    assert address in (await visitor.open("/test/account")).text
