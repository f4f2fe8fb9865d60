"""The lookup of routes by path."""

import pytest

from auth1.core.http.router import Auth, Route, Router
from auth1.errors import MethodNotAllowed, NotFound

PATHS = (
    "/users",
    "/users/{user_id}",
    "/users/me",
    "/users/{user_id}/events",
    "/users/me/devices/{device_id}",
    "/logos/{digest}.png",
    "/t/{slug}/test/token",
    "/t/{slug}/{name}/status",
)


async def handler() -> None:
    """Do nothing."""


async def authenticate(*_: object) -> None:
    """Accept everyone."""


ROUTER = Router([Route("GET", path, handler, Auth("public", authenticate)) for path in PATHS])


@pytest.mark.parametrize(
    ("path", "found", "parameters"),
    [
        ("/users", "/users", {}),
        ("/users/usr_1", "/users/{user_id}", {"user_id": "usr_1"}),
        ("/users/me", "/users/me", {}),
        ("/users/me/events", "/users/{user_id}/events", {"user_id": "me"}),
        ("/users/me/devices/d", "/users/me/devices/{device_id}", {"device_id": "d"}),
        ("/logos/0af.png", "/logos/{digest}.png", {"digest": "0af"}),
        ("/t/shop/test/token", "/t/{slug}/test/token", {"slug": "shop"}),
        ("/t/shop/test/status", "/t/{slug}/{name}/status", {"slug": "shop", "name": "test"}),
    ],
)
def test_path_leads_to_its_route_with_parameters(path: str, found: str, parameters: dict[str, str]) -> None:
    route, values = ROUTER.find("GET", path)

    assert (route.path, values) == (found, parameters)


@pytest.mark.parametrize(
    "path", ["/", "/user", "/users/", "/users/a b", "/users/" + "a" * 65, "/logos/0af", "/logos/.png", "/t/shop/test"]
)
def test_path_of_no_route_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        ROUTER.find("GET", path)


def test_path_with_another_method_names_those_that_are_allowed() -> None:
    with pytest.raises(MethodNotAllowed) as error:
        ROUTER.find("POST", "/users/usr_1")

    assert error.value.headers["allow"] == "GET, HEAD, OPTIONS"
