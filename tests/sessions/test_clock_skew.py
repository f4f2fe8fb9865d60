"""Two instances whose clocks differ by ten minutes: what one signs and sends is valid at the other."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import jwt
import pytest

from tests.conftest import Started
from tests.sessions.conftest import NewUser, SessionUser
from tests.support.api_client import ApiClient

IDENTIFIERS = "/api/auth/me/identifiers"


class OtherClock:
    """The clock of another machine. Only one process runs here, so its calls are made within `shown`."""

    def __init__(self, skew_s: int) -> None:
        self._skew_s = skew_s

    @contextmanager
    def shown(self) -> Iterator[None]:
        here, here_ns = time.time, time.time_ns
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda: here() + self._skew_s)
            patch.setattr(time, "time_ns", lambda: here_ns() + self._skew_s * 1_000_000_000)
            yield


@pytest.fixture(scope="module", params=[-600, 600], ids=["slow", "fast"])
def clock(request: pytest.FixtureRequest) -> OtherClock:
    return OtherClock(request.param)


@pytest.fixture(scope="module")
async def other(clock: OtherClock, start_app: Started) -> ApiClient:
    """Return an instance on the machine with the other clock."""
    with clock.shown():
        return await start_app()


def at(instance: ApiClient, user: SessionUser) -> SessionUser:
    """Return the same user, calling another instance."""
    return SessionUser([instance], user.tenant, user.twilio, user.database, phone=user.phone)


@pytest.mark.parametrize("life_s", [60, 900])
async def test_tokens_are_valid_at_an_instance_whose_clock_differs(
    clock: OtherClock, other: ApiClient, new_user: NewUser, life_s: int
) -> None:
    here = await new_user(token_expires_in=life_s)
    there = at(other, here)

    with clock.shown():
        login = await there.log_in()
        assert await there.is_live(login["token"])
    assert await here.is_live(login["token"])

    refreshed = (await here.refresh(login["refresh_token"])).json()
    assert await here.is_live(refreshed["token"])
    with clock.shown():
        assert await there.is_live(refreshed["token"])
        again = (await there.refresh(refreshed["refresh_token"])).json()
    assert await here.is_live(again["token"])


async def test_claims_have_the_times_of_the_database(clock: OtherClock, other: ApiClient, new_user: NewUser) -> None:
    there = at(other, await new_user())
    before = time.time()

    with clock.shown():
        login = await there.log_in()

    claims = jwt.decode(login["token"], options={"verify_signature": False})
    for name in ("iat", "auth_time"):
        assert before - 60 < claims[name] < time.time() + 60, name
    assert claims["exp"] - claims["iat"] == login["expires_in"]


async def test_codes_are_valid_at_an_instance_whose_clock_differs(
    clock: OtherClock, other: ApiClient, new_user: NewUser
) -> None:
    here, there = await new_user(), at(other, await new_user())

    with clock.shown():
        assert (await there.api.post("/api/auth/request", {"phone": here.phone}, here.api_key)).status_code == 200
    body = {"phone": here.phone, "code": here.code}
    assert (await here.api.post("/api/auth/verify", body, here.api_key)).status_code == 200

    assert (await here.api.post("/api/auth/request", {"phone": there.phone}, there.api_key)).status_code == 200
    body = {"phone": there.phone, "code": there.code}
    with clock.shown():
        assert (await there.api.post("/api/auth/verify", body, there.api_key)).status_code == 200


async def test_login_at_an_instance_whose_clock_differs_is_recent(
    clock: OtherClock, other: ApiClient, new_user: NewUser
) -> None:
    """Adding an identifier needs a login of the last five minutes."""
    here = await new_user()
    there = at(other, here)
    with clock.shown():
        login = await there.log_in()
    address = f"{login['user_id']}@example.com"

    added = await here.call("POST", IDENTIFIERS, login["token"], {"email": address})

    assert added.json().get("code") != "reauthentication_required", added.text


async def test_login_of_six_minutes_ago_is_recent_at_no_clock(
    clock: OtherClock, other: ApiClient, new_user: NewUser
) -> None:
    here = await new_user()
    there = at(other, here)
    with OtherClock(-360).shown(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(here.api.services.postgres, "now", time.time)
        login = await here.log_in()

    with clock.shown():
        added = await there.call("POST", IDENTIFIERS, login["token"], {"email": "ada@example.com"})

    assert (added.status_code, added.json()["code"]) == (403, "reauthentication_required")
