"""Each kind of application has its own rules."""

from typing import Any

import pytest

from auth1.applications.kinds import Kind
from auth1.applications.records import ApplicationChanges, NewApplication, has_secret
from auth1.applications.rules import check_application, check_changes
from auth1.core.outbound.guard import Guard
from auth1.errors import ValidationFailed

GUARD = Guard(own_host="auth.example.com", own_port=443)
CALLBACK = "https://app.example.com/callback"
LOGIN_KINDS: tuple[Kind, ...] = ("web", "spa", "native")


def problems(kind: Kind, **fields: Any) -> dict[str, str]:
    """Return the errors of a new application. Fields that are not given are valid."""
    fields = {"redirect_uris": [] if kind == "machine" else [CALLBACK]} | fields
    try:
        check_application(GUARD, NewApplication(name="A", kind=kind, scopes=[], id_token_alg="ES256", **fields))
    except ValidationFailed as error:
        return dict(error.errors)
    return {}


def problems_of_changes(kind: Kind, **fields: Any) -> dict[str, str]:
    try:
        check_changes(GUARD, kind, ApplicationChanges(**fields))
    except ValidationFailed as error:
        return dict(error.errors)
    return {}


@pytest.mark.parametrize("kind", LOGIN_KINDS)
def test_login_application_needs_a_redirect_uri(kind: Kind) -> None:
    assert problems(kind) == {}
    assert problems(kind, redirect_uris=[]) == {"redirect_uris": "Must contain at least one URI."}
    assert problems_of_changes(kind, redirect_uris=[]) == {"redirect_uris": "Must contain at least one URI."}
    assert problems_of_changes(kind, name="B", enabled=False) == {}


@pytest.mark.parametrize("kind", LOGIN_KINDS)
@pytest.mark.parametrize("field", ["redirect_uris", "logout_uris"])
def test_invalid_uri_is_named_by_its_position(kind: Kind, field: str) -> None:
    uris = [CALLBACK, "https://user@app.example.com/"]

    assert list(problems(kind, **{field: uris})) == [f"{field}[1]"]
    assert list(problems_of_changes(kind, **{field: uris})) == [f"{field}[1]"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("redirect_uris", [CALLBACK]),
        ("logout_uris", [CALLBACK]),
        ("backchannel_logout_uri", "https://app.example.com/logout"),
        ("first_party", True),
        ("require_pkce", False),
    ],
)
def test_machine_has_no_settings_of_a_login(field: str, value: object) -> None:
    assert problems("machine") == {}
    assert list(problems("machine", **{field: value})) == [field]
    assert list(problems_of_changes("machine", **{field: value})) == [field]


def test_only_an_application_with_a_secret_may_do_without_pkce() -> None:
    assert problems("web", require_pkce=False) == {}
    assert list(problems("spa", require_pkce=False)) == ["require_pkce"]
    assert list(problems_of_changes("native", require_pkce=False)) == ["require_pkce"]
    assert [kind for kind in (*LOGIN_KINDS, "machine") if has_secret(kind)] == ["web", "machine"]


@pytest.mark.parametrize(
    "url",
    [
        "http://app.example.com/logout",
        "https://127.0.0.1/logout",
        "https://169.254.169.254/latest/meta-data",
        "https://auth.example.com/logout",
        "https://user@app.example.com/",
        "https://app.example.com:22/",
        "com.example.app:/logout",
    ],
)
def test_private_address_is_not_called_for_a_logout(url: str) -> None:
    assert problems("web", backchannel_logout_uri="https://app.example.com/logout") == {}
    assert list(problems("web", backchannel_logout_uri=url)) == ["backchannel_logout_uri"]
    assert list(problems_of_changes("web", backchannel_logout_uri=url)) == ["backchannel_logout_uri"]
    assert problems_of_changes("web", backchannel_logout_uri="") == {}


@pytest.mark.parametrize("kind", ["spa", "native"])
def test_application_without_a_server_is_not_called_for_a_logout(kind: Kind) -> None:
    assert list(problems(kind, backchannel_logout_uri="https://app.example.com/logout")) == ["backchannel_logout_uri"]
