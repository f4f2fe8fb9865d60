"""The output of an application: its responses and its log, and the secrets that neither may show."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx

from auth1.api_error import ApiError
from auth1.core.http.router import Router
from auth1.routes import ROUTES
from tests.conftest import new_phone
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer

EMAIL = "some.special.person@example.com"

NOTE = "a note about a person"

APP_URL = "https://auth.example.com"

CALLBACK = "https://app.example.com/callback"

VERIFIER = "a-verifier-of-an-application-that-no-log-line-has"

CODE_LENGTH = 10  # no number in a log line is equal to a code of ten digits by chance

# Fields that show a secret once, to its owner (contract: section 4), by the route that shows them.
_TOKENS = ("token", "refresh_token")

SHOWN_ONCE: dict[str, tuple[str, ...]] = {
    "POST /api/admin/tenants": ("api_key", "secret_key", "test_key", "jwt_secret"),
    "POST /api/auth/request": ("challenge_secret", "link"),
    "POST /api/auth/verify": _TOKENS,
    "POST /api/auth/token": _TOKENS,
    "POST /api/tenant/keys": ("api_key",),
    "POST /api/tenant/keys/{key_id}/rotate": ("api_key",),
    "GET /api/tenant/jwt-secret": ("jwt_secret",),
    "POST /api/tenant/jwt-secret/rotate": ("jwt_secret",),
    "POST /api/tenant/webhooks": ("secret",),
    "PUT /api/tenant/hooks/{hook}": ("secret",),
    "POST /api/tenant/applications": ("client_secret",),
    "POST /api/tenant/applications/{client_id}/rotate-secret": ("client_secret",),
    "POST /t/{slug}/token": ("access_token", "refresh_token", "id_token"),
    "POST /t/{slug}/test/token": ("access_token", "refresh_token", "id_token"),
    "POST /t/{slug}/par": ("request_uri",),
    "POST /t/{slug}/test/par": ("request_uri",),
}

SECRET_NAMES = {name for names in SHOWN_ONCE.values() for name in names}

SHOWN_HEADERS = ("set-cookie", "location")  # a cookie of the browser, and the code of an application

PERSONAL = ("/api/auth/me", "/api/auth/introspect", "/api/tenant/users")  # routes that show a person's data

SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL)

SQL = re.compile(
    r"\b(select|insert into|update|delete from|returning|on conflict)\b .*\b(from|values|set|where)\b", re.I
)


@dataclass
class Output:
    """All output of one application that was used in every way."""

    api: ApiClient
    twilio: TwilioServer
    database: asyncpg.Connection
    tenant: dict[str, Any]
    secrets: set[str] = field(default_factory=set)
    unshown: set[str] = field(default_factory=set)  # secrets that pages and redirects show to their browser
    phones: list[str] = field(default_factory=list)
    answers: list[httpx.Response] = field(default_factory=list)

    async def keep(self, response: httpx.Response) -> None:
        await response.aread()
        self.answers.append(response)

    @property
    def stdout(self) -> str:
        return self.api.log_path.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]

    def responses(self) -> list[str]:
        """Return headers and bodies of all responses without the fields that show a secret."""
        return [f"{visible_headers(answer)} {text_without_shown(answer)}" for answer in self.answers]

    def public_texts(self) -> list[str]:
        """Return the responses without the fields that show personal data to its owner."""
        pairs = zip(self.answers, self.responses(), strict=True)
        return [text for answer, text in pairs if not answer.request.url.path.startswith(PERSONAL)]

    def phone(self) -> str:
        self.phones.append(new_phone())
        return self.phones[-1]


def is_json(answer: httpx.Response) -> bool:
    """Return whether the text is one JSON document; an export is many."""
    return answer.headers.get("content-type", "") in ("application/json", "application/problem+json")


_router = Router(ROUTES)


def route_of(answer: httpx.Response) -> str:
    """Return method and path of a route, the operator's as the tenant's; empty where there is none."""
    try:
        route, _ = _router.find(answer.request.method, answer.request.url.path)
    except ApiError:
        return ""
    return f"{route.method} {route.path}".replace("/api/admin/tenants/{tenant_id}/", "/api/tenant/")


def shown_fields(answer: httpx.Response) -> dict[str, Any]:
    """Return the fields of a response that show a secret."""
    names = SHOWN_ONCE.get(route_of(answer), ())
    return {name: value for name, value in answer.json().items() if name in names}


def text_without_shown(answer: httpx.Response) -> str:
    if not is_json(answer):
        return SCRIPT.sub("", answer.text)  # which throws errors of its own
    shown = shown_fields(answer)
    return json.dumps({name: value for name, value in answer.json().items() if name not in shown}, ensure_ascii=False)


def visible_headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in SHOWN_HEADERS}
