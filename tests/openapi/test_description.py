"""The description is made of the code, is whole, and says nothing that is not so."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
import openapi_spec_validator
import pytest

from auth1 import errors
from auth1.authn.guards import anyone
from auth1.core.http.pagination import Paging, page
from auth1.core.http.query import read_query
from auth1.core.http.request import HTML, Request, Response
from auth1.core.http.router import Route
from auth1.core.schemas import In, Out
from auth1.core.timestamps import Timestamp
from auth1.openapi import metadata
from auth1.openapi.document import MissingMetadata, describe, render
from auth1.openapi.page import SNAPSHOT
from auth1.openapi.reach import reach
from auth1.routes import ROUTES
from auth1.services import Services
from tests import described
from tests.conftest import Door

DOCUMENT = described.snapshot()
OPERATIONS = [
    pytest.param(path, verb, operation, id=operation["operationId"])
    for path, verbs in DOCUMENT["paths"].items()
    for verb, operation in verbs.items()
]


def test_the_snapshot_is_what_the_code_says() -> None:
    assert render(describe(ROUTES)) == SNAPSHOT.read_bytes(), "run `just openapi` and commit what it makes"


def test_it_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(DOCUMENT)


def test_every_route_is_an_operation_with_a_name_of_its_own() -> None:
    described_routes = {(verb.upper(), path) for path, verbs in DOCUMENT["paths"].items() for verb in verbs}
    names = [operation["operationId"] for verbs in DOCUMENT["paths"].values() for operation in verbs.values()]

    assert described_routes == {(route.method, route.path) for route in ROUTES}
    assert len(set(names)) == len(names)


def test_every_refusal_is_described_somewhere() -> None:
    told = "\n".join(response["description"] for response in DOCUMENT["components"]["responses"].values())
    both = [json.dumps(verbs, ensure_ascii=False) for verbs in DOCUMENT["paths"].values()]

    codes = set(re.findall(r"- `([a-z_]+)`: ", told + "\n".join(both)))
    assert codes == {refusal.code for refusal in errors.ALL}
    assert DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == sorted(
        refusal.code for refusal in errors.ALL
    )


def test_it_names_no_machine() -> None:
    text = SNAPSHOT.read_text()

    assert DOCUMENT["servers"] == [{"url": "/"}]
    assert not re.findall(r"localhost:|127\.0\.0\.1:\d|/home/|/usr/|/opt/", text.replace("http://localhost", ""))


def test_it_has_the_guide_s_own_examples() -> None:
    paths = DOCUMENT["paths"]

    def sent(path: str) -> Any:
        return paths[path]["post"]["requestBody"]["content"]["application/json"]["example"]

    def answered(path: str, status: str, verb: str = "post") -> Any:
        return paths[path][verb]["responses"][status]["content"]["application/json"]["example"]

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
    made = {"tenant_id": "tn_abc123", "api_key": "auth1_pk_myapp_d1617d338c62...", "name": "My App"}
    assert answered("/api/admin/tenants", "201").items() >= made.items()
    assert sent("/api/auth/request") == {"phone": "+15551234567"}
    assert sent("/api/auth/verify") == {"phone": "+15551234567", "code": "482913"}
    verified = {"verified": True, "token": "eyJhbGciOiJIUzI1NiIs...", "user_id": "usr_xyz789"}
    assert answered("/api/auth/verify", "200").items() >= verified.items()
    health = {"status": "healthy", "uptime": 847293, "database": "connected", "redis": "connected", "memory_mb": 78}
    assert answered("/health", "200", "get").items() >= health.items()


@pytest.mark.parametrize(("path", "verb", "operation"), OPERATIONS)
def test_examples_are_of_their_schemas(path: str, verb: str, operation: dict[str, Any]) -> None:
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


@pytest.mark.parametrize(("path", "verb", "operation"), OPERATIONS)
def test_each_operation_says_all_that_it_should(path: str, verb: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["tags"]
    responses = {status: described.resolve(response) for status, response in operation["responses"].items()}
    assert any(status.startswith("2") for status in responses)
    for status, response in responses.items():
        assert response["description"]
        assert "x-request-id" in response["headers"]
        assert ("cache-control" in response["headers"]) or not path.startswith("/api/")
        assert ("www-authenticate" in response["headers"]) == (status == "401")
        assert ("retry-after" in response["headers"]) or status != "429"
        assert ("ratelimit" in response["headers"]) or status != "429"
    for name in re.findall(r"{(\w+)}", path):
        assert [p["in"] for p in operation["parameters"] if p["name"] == name] == ["path"]


async def test_it_is_served_as_it_is_committed(door: Door) -> None:
    answer = await door.client.get("/openapi.json")

    assert (answer.status_code, answer.content) == (200, SNAPSHOT.read_bytes())
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "public, max-age=300"


class Plain(Out):
    """Something."""

    text: str


class Puzzle(In):
    """Something with a pattern that nobody has an example of."""

    riddle: Annotated[str, msgspec.Meta(pattern="^a{3}$")]


class Wanted(msgspec.Struct):
    """A query."""

    since: Annotated[Timestamp | None, msgspec.Meta(description="From when on.")] = None
    text: str = ""
    state: Literal["sent", "failed"] | None = None
    number: Annotated[int, msgspec.Meta(ge=0)] = 0


async def handle(app: Services, call: Request[None], body: Puzzle | None = None) -> Plain:
    """Do something."""
    return Plain("")


async def handle_by_hand(app: Services, call: Request[None]) -> Response:
    """Do something by hand."""
    return Response(b"")


async def handle_silently(app: Services, call: Request[None]) -> Plain:
    return Plain("")


async def handle_header(app: Services, call: Request[None]) -> Plain:
    """Read a header."""
    return Plain(call.header(b"x-nobody-knows") or "")


async def handle_query(app: Services, call: Request[None]) -> Plain:
    """Read a query and a page."""
    page(call)
    return Plain(read_query(call, Wanted).text)


async def handle_query_by_hand(app: Services, call: Request[None]) -> Plain:
    """Read a query by hand."""
    return Plain(call.query()["text"])


async def guard(app: Services, call: Request[None]) -> None:
    """Ask for something new."""


@pytest.fixture(autouse=True)
def _ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (handle_header, handle_query, handle_query_by_hand):
        monkeypatch.setattr(function, "__module__", "auth1.nothing")


@pytest.mark.parametrize(
    ("route", "told"),
    [
        (Route("GET", "/x", handle_silently, anyone), "docstring"),
        (Route("GET", "/x", handle, guard), "CREDENTIALS"),
        (Route("GET", "/x", handle_by_hand, anyone), "answers"),
        (Route("GET", "/x/{thing_id}", handle, anyone), "PARAMETERS"),
        (Route("GET", "/x", handle_header, anyone), "REQUEST_HEADERS"),
        (Route("GET", "/x", handle_query_by_hand, anyone), "handle_query_by_hand reads the query by hand"),
        (Route("POST", "/x", handle, anyone, Puzzle), "riddle: give the field an example"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_route_that_lacks_something_is_told_what_and_where(route: Route, told: str) -> None:
    with pytest.raises(MissingMetadata, match=told):
        describe([route])


def test_a_query_is_described_by_what_reads_it() -> None:
    operation = describe([Route("GET", "/x", handle_query, anyone)])["paths"]["/x"]["get"]

    names = {parameter["name"]: parameter for parameter in operation["parameters"]}
    assert set(names) == {"limit", "cursor", "since", "text", "state", "number"}
    assert names["since"]["description"] == "From when on."
    assert names["since"]["schema"] == {"type": "string", "format": "date-time"}
    assert names["state"]["schema"] == {"enum": ["failed", "sent"]}
    assert names["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}


@pytest.mark.parametrize(
    "query",
    [
        *(b"since=yesterday", b"since=2026-01-31", b"since=0001-01-01T00:00:00Z", b"since=1768000000"),
        *(b"since=", b"since=null", b"text=%00", b"state=lost", b"state=null", b"state="),
        *(b"number=1e1", b"number=-1", b"number=", b"number=1.0", b"nmber=1", b"limit=1"),
    ],
)
def test_a_query_that_cannot_be_is_refused_by_name(query: bytes) -> None:
    with pytest.raises(errors.ValidationFailed) as refused:
        read_query(Request("GET", "req", {}, query), Wanted)

    assert refused.value.errors[0].field == query.partition(b"=")[0].decode()


def test_a_query_is_read_as_it_was_meant() -> None:
    query = b"since=2026-01-31T12:00:00+01:00&text=null&text=a+b%2B&number=7"

    wanted = read_query(Request("GET", "req", {}, query), Wanted)

    assert wanted == Wanted(datetime(2026, 1, 31, 11, tzinfo=UTC), "a b+", None, 7)
    assert read_query(Request("GET", "req", {}, b""), Wanted) == Wanted()
    assert read_query(Request("GET", "req", {}, b"limit=1&number=7"), Wanted, beside=Paging).number == 7
    assert read_query(Request("GET", "req", {}, b"more=1&number=7"), Wanted, others=True).number == 7


def test_answers_by_hand_are_described_by_the_route() -> None:
    route = Route("GET", "/x", handle_by_hand, anyone, answers=((200, HTML), (404, Plain)))

    responses = describe([route])["paths"]["/x"]["get"]["responses"]

    assert responses["200"]["content"] == {HTML: {"schema": {"type": "string"}}}
    assert set(responses["404"]["content"]) == {"application/json"}


def test_refusals_are_found_wherever_they_are_raised() -> None:
    by_handler = {route.handler.__name__: reach(route.handler).refusals for route in ROUTES}

    assert errors.ResendTooSoon in by_handler["request_code"]  # by the handler's own function
    assert errors.DeliveryFailed in by_handler["request_code"]  # by a module below
    assert errors.ChannelUnavailable in by_handler["request_code"]  # by a method of a service
    assert errors.TokenReused in by_handler["token"]
    assert errors.InvalidToken not in by_handler["introspect"]  # caught there
    assert errors.NotFound not in by_handler["list_tenants"]


def test_every_credential_is_described() -> None:
    guards = {route.guard.__name__ for route in ROUTES}
    schemes = {scheme for needed in metadata.CREDENTIALS.values() for one in needed for scheme in one}

    assert guards <= set(metadata.CREDENTIALS)
    assert schemes == set(metadata.SCHEMES)
