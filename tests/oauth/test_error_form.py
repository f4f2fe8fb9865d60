"""Errors below an issuer have OAuth's form, also where no endpoint has the path or the method."""

import pytest

from tests.oauth.conftest import error
from tests.oauth.machine import Machine


@pytest.mark.parametrize("sandbox", [False, True])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/token", 405),
        ("DELETE", "/userinfo", 405),
        ("PUT", "/authorize", 405),
        ("POST", "/jwks", 405),
        ("GET", "/unknown", 404),
        ("GET", "/token/unknown", 404),
        ("GET", "/token/", 404),
        ("POST", "//token", 404),
        ("GET", "/jwks?x=" + "x" * 3000, 414),
    ],
)
async def test_request_without_an_endpoint_is_an_oauth_error(
    machine: Machine, method: str, path: str, status: int, *, sandbox: bool
) -> None:
    machine.sandbox = sandbox

    answer = await machine.api.client.request(method, machine.path + path)

    assert error(answer) == (status, "invalid_request")
    assert ("allow" in answer.headers) == (status == 405)


async def test_unknown_path_of_metadata_is_an_oauth_error(machine: Machine) -> None:
    metadata = "/.well-known/oauth-authorization-server"

    for path in (f"{metadata}/t/unknown", f"{metadata}{machine.path}/unknown"):
        assert error(await machine.api.client.get(path)) == (404, "invalid_request")


@pytest.mark.parametrize("path", ["/api/unknown", "/unknown", "/t", "/.well-known/unknown"])
async def test_unknown_path_elsewhere_is_a_problem(machine: Machine, path: str) -> None:
    answer = await machine.api.client.get(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"
