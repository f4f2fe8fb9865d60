"""The API description follows from the routes, is complete, and validates."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import jwt
import msgspec
import openapi_spec_validator
import pytest

from auth1 import api_keys, errors
from auth1.authn.guards import any_key, operator, public, tenant_admin
from auth1.core.crypto import Keyring
from auth1.core.http.pagination import PageQuery
from auth1.core.http.query import QueryParams
from auth1.core.http.request import HTML, Request, Response
from auth1.core.http.router import Route
from auth1.core.schemas import In, Out
from auth1.core.timestamps import Timestamp
from auth1.openapi import metadata
from auth1.openapi.document import MissingMetadata, describe, render
from auth1.openapi.errors import derived_errors
from auth1.openapi.page import SNAPSHOT
from auth1.routes import ROUTES
from auth1.services import Services
from auth1.sessions import refresh_tokens
from auth1.sessions.tokens import Claims
from tests.support import described
from tests.support.api_client import ApiClient
from tests.support.each import each

DOCUMENT = described.snapshot()
OPERATIONS = [(path, verb, operation) for path, verbs in DOCUMENT["paths"].items() for verb, operation in verbs.items()]


def test_snapshot_is_current() -> None:
    assert render(describe(ROUTES)) == SNAPSHOT.read_bytes(), "run `just openapi` and commit what it makes"


def test_document_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(DOCUMENT)


def test_every_route_is_an_operation_or_an_operator_path() -> None:
    names = [operation["operationId"] for verbs in DOCUMENT["paths"].values() for operation in verbs.values()]

    assert {(verb.upper(), path) for path, verb in described.operations()} == {(r.method, r.path) for r in ROUTES}
    assert len(set(names)) == len(names)


def test_component_and_operation_names_are_identifiers() -> None:
    names = [name for kind in ("schemas", "responses", "securitySchemes") for name in DOCUMENT["components"][kind]]
    names += [operation["operationId"] for verbs in DOCUMENT["paths"].values() for operation in verbs.values()]

    assert [name for name in names if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)] == []


def test_every_component_is_used() -> None:
    """Linters warn about unused ones. No operation can refer to the response of an unsupported method."""
    text = json.dumps(DOCUMENT)
    for kind in ("schemas", "responses", "headers"):
        for name in DOCUMENT["components"][kind]:
            used = f'"#/components/{kind}/{name}"' in text
            assert used or (kind, name) == ("responses", "MethodNotAllowed"), f"{kind}/{name}"


def test_every_error_is_described() -> None:
    listed = "\n".join(response["description"] for response in DOCUMENT["components"]["responses"].values())

    assert set(re.findall(r"- `([a-z_]+)`: ", listed)) == {error.code for error in errors.ALL}
    assert DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == sorted(
        error.code for error in errors.ALL
    )


def test_declared_errors_do_not_repeat_derived_ones() -> None:
    for route in ROUTES:
        derived = {error for other in ROUTES if other.handler is route.handler for error in derived_errors(other)}
        repeated = derived & set(route.errors) - {errors.NotFound, errors.Conflict, errors.Forbidden}
        assert not repeated, f"{route.method} {route.path}: {repeated}"
        assert len(set(route.errors)) == len(route.errors)


def test_document_contains_no_machine_address() -> None:
    text = SNAPSHOT.read_text()

    assert DOCUMENT["servers"] == [{"url": "/"}]
    assert not re.findall(r"localhost:|127\.0\.0\.1:\d|/home/|/usr/|/opt/", text.replace("http://localhost", ""))


def test_request_examples_are_those_of_the_guide() -> None:
    def sent(path: str) -> Any:
        return DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]

    assert sent("/api/admin/tenants") == {
        "name": "My App",
        "slug": "myapp",
        "settings": {
            "otp_length": 6,
            "otp_expiry_minutes": 10,
            "max_otp_attempts": 5,
            "rate_limit_per_hour": 5,
            "voip_blocking": True,
            "sms_branding": "MyApp",
        },
    }
    assert sent("/api/auth/request") == {"phone": "+15551234567"}
    assert sent("/api/auth/verify") == {"phone": "+15551234567", "code": "482913"}


def test_response_examples_are_values_of_the_program() -> None:
    fields: dict[str, Any] = metadata.FIELDS
    prefixes = {"tenant": "tn", "key": "key", "user": "usr", "challenge": "ch", "message": "msg", "session": "ses"}
    for name, prefix in (prefixes | {"event": "evt", "request": "req"}).items():
        assert re.fullmatch(rf"{prefix}_[0-9a-hjkmnp-tv-z]{{26}}", fields[f"{name}_id"])
    for name, kind in (("api_key", "pk"), ("secret_key", "sk"), ("test_key", "test")):
        assert api_keys.kind_of(fields[name]) == kind
    assert fields["hint"].endswith(fields["api_key"][-4:])
    token, secret = fields["token"], fields["jwt_secret"]
    audience = fields["tenant_id"]
    claims = jwt.decode(token, secret, algorithms=["HS256"], audience=audience, options={"verify_exp": False})
    assert (claims["sub"], claims["sid"]) == (fields["user_id"], fields["session_id"])
    assert claims["aud"] == fields["tenant_id"]
    assert msgspec.convert(claims, Claims).iss == fields["issuer"]
    assert jwt.get_unverified_header(fields["token"])["kid"] == fields["kid"]
    keyring = Keyring("an example JWT_SECRET, which no server of yours may have")
    refresh = refresh_tokens.read(keyring, fields["tenant_id"], fields["refresh_token"])
    assert refresh is not None
    assert refresh.session_id == fields["session_id"]


@each("path, verb, operation", OPERATIONS, ids=lambda operation: operation[2]["operationId"])
def test_examples_match_their_schemas(path: str, verb: str, operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        if "example" in parameter:
            assert described.of_schema(parameter["schema"]).is_valid(parameter["example"]), parameter["name"]
    contents = [operation.get("requestBody", {}).get("content", {})]
    contents += [described.resolve(response).get("content", {}) for response in operation["responses"].values()]
    for content in contents:
        for media in content.values():
            for example in _examples(media):
                errors_found = [error.message for error in described.of_schema(media["schema"]).iter_errors(example)]
                assert errors_found == [], f"{example}: {errors_found}; give the field Meta(examples=[…])"


def _examples(media: dict[str, Any]) -> Iterator[Any]:
    if "example" in media:
        yield media["example"]
    for named in media.get("examples", {}).values():
        yield named["value"]


@each("path, verb, operation", OPERATIONS, ids=lambda operation: operation[2]["operationId"])
def test_each_operation_is_complete(path: str, verb: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["tags"]
    responses = {status: described.resolve(response) for status, response in operation["responses"].items()}
    assert any(status.startswith("2") for status in responses)
    for status, response in responses.items():
        assert response["description"]
        assert "x-request-id" in response["headers"]
        assert ("cache-control" in response["headers"]) or not path.startswith("/api/")
        names_a_scope = "`insufficient_scope`" in response["description"]
        assert ("www-authenticate" in response["headers"]) == (status == "401" or names_a_scope)
        assert ("retry-after" in response["headers"]) or status != "429"
        assert ("ratelimit" in response["headers"]) or status != "429"
    for name in re.findall(r"{(\w+)}", path):
        assert [p["in"] for p in operation["parameters"] if p["name"] == name] == ["path"]
    listed = {code for one in operation["responses"].values() for code in re.findall(r"`(\w+)`", one["description"])}
    assert listed == set(operation["x-error-codes"])


async def test_document_is_served_as_committed(api: ApiClient) -> None:
    answer = await api.client.get("/openapi.json")

    assert (answer.status_code, answer.content) == (200, SNAPSHOT.read_bytes())
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=300"


class Plain(Out):
    """A response."""

    text: str


class Puzzle(In):
    """A body with a pattern that has no example."""

    riddle: Annotated[str, msgspec.Meta(pattern="^a{3}$")]


class Filter(PageQuery):
    """A query."""

    since: Annotated[Timestamp | None, msgspec.Meta(description="The first timestamp.")] = None
    text: str = ""
    state: Literal["sent", "failed"] | None = None
    number: Annotated[int, msgspec.Meta(ge=0)] = 0


async def handle(app: Services, request: Request[None], body: Puzzle | None = None) -> Plain:
    """Do something."""
    return Plain("")


async def handle_response(app: Services, request: Request[None]) -> Response:
    """Do something with a Response."""
    return Response(b"")


async def handle_without_docstring(app: Services, request: Request[None]) -> Plain:
    return Plain("")


async def handle_query(app: Services, request: Request[None], query: QueryParams) -> Plain:
    """Read a query."""
    return Plain("")


@pytest.mark.parametrize(
    ("route", "missing"),
    [
        (Route("GET", "/x", handle_without_docstring, public), "docstring"),
        (Route("GET", "/x", handle_response, public), "responses="),
        (Route("GET", "/x/{thing_id}", handle, public), "PARAMETERS"),
        (Route("GET", "/x", handle, public, request_headers=("x-new",)), "REQUEST_HEADERS"),
        (Route("POST", "/x", handle, public, Puzzle), "riddle: give the field an example"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_incomplete_route_is_reported_with_its_remedy(route: Route, missing: str) -> None:
    with pytest.raises(MissingMetadata, match=missing):
        describe([route])


def test_query_is_described_by_its_struct() -> None:
    operation = describe([Route("GET", "/x", handle_query, public, query=Filter)])["paths"]["/x"]["get"]

    names = {parameter["name"]: parameter for parameter in operation["parameters"]}
    assert set(names) == {"limit", "cursor", "since", "text", "state", "number"}
    assert names["since"]["description"] == "The first timestamp."
    assert names["since"]["schema"] == {"type": "string", "format": "date-time"}
    assert names["state"]["schema"] == {"enum": ["failed", "sent"]}
    assert names["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    assert "validation_failed" in operation["x-error-codes"]


def test_responses_of_a_response_handler_are_described_by_its_route() -> None:
    route = Route("GET", "/x", handle_response, public, responses=((200, HTML), (503, Plain)))

    responses = describe([route])["paths"]["/x"]["get"]["responses"]

    assert responses["200"]["content"] == {HTML: {"schema": {"type": "string"}}}
    assert set(responses["503"]["content"]) == {"application/json", "application/problem+json"}


def test_operator_path_is_noted_on_the_tenants_operation() -> None:
    paths = describe(
        [
            Route("GET", "/api/tenant/x", handle, tenant_admin, errors=(errors.Conflict,)),
            Route("GET", "/api/admin/tenants/{tenant_id}/x", handle, operator),
        ]
    )["paths"]

    assert list(paths) == ["/api/tenant/x"]
    operation = paths["/api/tenant/x"]["get"]
    assert operation["x-operator-path"] == "/api/admin/tenants/{tenant_id}/x"
    assert {"conflict", "invalid_api_key", "invalid_token", "admin_disabled"} <= set(operation["x-error-codes"])


def test_errors_are_derived_from_declarations() -> None:
    plain = derived_errors(Route("GET", "/x", handle, public))
    full = derived_errors(Route("POST", "/x", handle, any_key, body=Puzzle, idempotent="yes"))

    assert plain == {
        *(errors.BadRequest, errors.UriTooLong, errors.Unavailable, errors.InternalError, errors.OriginNotAllowed)
    }
    assert {errors.InvalidApiKey, errors.RateLimited, errors.BadJson, errors.IdempotencyKeyReused} <= full


def test_every_security_scheme_is_described_and_used() -> None:
    used = {scheme for route in ROUTES for needed in route.auth.security for scheme in needed}

    assert used == set(metadata.SCHEMES)
