"""Errors of a page are pages: in the reader's language, with the status of the error and a strict policy."""

import httpx
import pytest

from auth1.core.http.asgi import App
from auth1.core.http.cors import Cors
from auth1.core.http.request import Request, Response
from auth1.core.http.router import Auth, Route
from auth1.core.telemetry.log import Log
from auth1.errors import ApiError, BadRequest, Forbidden, NotFound, PayloadTooLarge, RateLimited, TenantSuspended
from auth1.pages.errors import error_page

BY_APPLICATION = BadRequest("The scope is missing.", by_application=True)


def client_for(error: ApiError, log: Log) -> httpx.AsyncClient:
    """Return a client of an application whose only page fails."""

    async def authenticate(app: None, request: Request[None], rate_limit: object) -> None:
        return None

    async def fail(app: None, request: Request[None]) -> Response:
        request.headers.append((b"content-security-policy", b"of the page that was not completed"))
        raise error

    async def nothing(*_: object) -> None:
        return None

    route = Route("GET", "/page", fail, Auth("missing", authenticate), page=True, on_error=error_page)
    app: App[None] = App(
        [route], log, Cors((), "http://localhost"), (), nothing, nothing, nothing, nothing, lambda _: {}
    )
    app.services = None
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost")


@pytest.mark.parametrize(
    ("error", "language", "text"),
    [
        (Forbidden(), "en", "Something went wrong"),
        (BY_APPLICATION, "de", '<p class="hint" lang="en" dir="ltr">The scope is missing.</p>'),
        (BY_APPLICATION, "de", "Die Anfrage der App ist ungültig."),
        (NotFound(), "de-CH, en;q=0.5", "Seite nicht gefunden"),
        (TenantSuspended(), "fr", "La connexion n&#39;est pas disponible pour le moment."),
        (RateLimited(retry_after=65), "xx", "Too many attempts. Try again in 1:05."),
    ],
)
async def test_error_is_a_page_in_the_language_of_the_browser(error: ApiError, language: str, text: str) -> None:
    async with client_for(error, Log("error")) as client:
        response = await client.get("/page", headers={"accept-language": language})

    assert response.status_code == error.status
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert text in response.text
    assert response.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers.get("retry-after") == (str(error.retry_after) if error.retry_after else None)


@pytest.mark.parametrize("error", [BadRequest("The cookie auth1 was sent twice."), PayloadTooLarge()])
async def test_invalid_request_of_a_browser_is_not_called_an_error_of_the_app(error: ApiError) -> None:
    async with client_for(error, Log("error")) as client:
        response = await client.get("/page")

    assert response.status_code == error.status
    assert "Try again in a moment." in response.text
    assert "The app" not in response.text
    assert error.detail not in response.text
