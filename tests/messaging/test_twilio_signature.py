"""Signatures against Twilio's own validator."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator, get_signature_algorithm

from auth1.messaging.providers import twilio_signature
from tests.messaging.callbacks import Pairs, Parameters, signature
from tests.support.effort import effort

TOKEN, OTHER = "a token", "another token"
APP_URL = "https://auth.example.com"
TARGET = "/api/callbacks/twilio/status?tenant_id=tn_1&message_id=msg_1"
SHA_256 = "key=webhooks_sharedkey_0123,algorithm=HMAC_SHA256"

hosts = st.sampled_from(["auth.example.com", "a.example", "10.0.0.1", "xn--bcher-kva.example"])
ports = st.sampled_from(["", ":80", ":443", ":3000"])
app_urls = st.builds(
    "{}://{}{}{}".format, st.sampled_from(["http", "https"]), hosts, ports, st.sampled_from(["", "/auth", "/a/b"])
)
targets = st.sampled_from(
    ["/status", "/status?", TARGET, "/status?b=2&a=1&a=%C3%A9&c=+%2B#", "/status?url=http://x:80/"]
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.sampled_from(["MessageStatus", "messagestatus", "Body", "", "é", "A", "AB"]) | texts
forms = st.lists(st.tuples(names, texts), max_size=8)


def is_valid(
    signed: str | None,
    pairs: Pairs,
    *,
    app_url: str = APP_URL,
    target: str = TARGET,
    header: str | None = None,
    tokens: tuple[str, ...] = (TOKEN,),
) -> bool:
    return twilio_signature.signature_is_valid(
        signed, header, tokens=tokens, app_url=app_url, target=target, pairs=pairs
    )


@settings(max_examples=effort(100, 1000), deadline=None, derandomize=True, database=None)
@given(app_urls, targets, forms, st.sampled_from([None, SHA_256]))
def test_signature_of_the_twilio_library_is_valid(app_url: str, target: str, pairs: Pairs, header: str | None) -> None:
    signed = signature(app_url + target, pairs, TOKEN, "HMAC_SHA256" if header else None)

    assert is_valid(signed, pairs, app_url=app_url, target=target, header=header)
    assert is_valid(signed, pairs, app_url=app_url, target=target, header=header, tokens=(OTHER, TOKEN))
    assert not is_valid(signed, pairs, app_url=app_url, target=target, header=header, tokens=(OTHER,))
    assert not is_valid(signed, pairs, app_url=app_url, target=target, header=None if header else SHA_256)
    assert not is_valid(signed, [*pairs, ("Added", "1")], app_url=app_url, target=target, header=header)


@settings(max_examples=effort(100, 1000), deadline=None, derandomize=True, database=None)
@given(app_urls, app_urls, st.sampled_from(["/status", TARGET]), forms, forms)
def test_validation_agrees_with_the_twilio_validator(
    app_url: str, signed_url: str, target: str, pairs: Pairs, signed_pairs: Pairs
) -> None:
    """Includes signatures of another URL, another form, and the URL with or without its port."""
    for signed in (signature(signed_url + target, signed_pairs, TOKEN), signature(signed_url + target, pairs, TOKEN)):
        theirs = RequestValidator(TOKEN).validate(app_url + target, Parameters(pairs), signed)

        assert is_valid(signed, pairs, app_url=app_url, target=target) is theirs


@pytest.mark.parametrize(
    ("app_url", "signed_url"),
    [
        ("https://auth.example.com", "https://auth.example.com"),
        ("https://auth.example.com", "https://auth.example.com:443"),
        ("https://auth.example.com:443", "https://auth.example.com"),
        ("http://auth.example.com", "http://auth.example.com:80"),
        ("https://auth.example.com:8443", "https://auth.example.com"),
        ("https://auth.example.com:8443", "https://auth.example.com:8443"),
        # Twilio's validator takes the first colon for that of the port.
        ("https://[2001:db8::1]:8443/auth", "https://[2001:db8::1]/auth"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]:443"),
        ("https://user:pass@auth.example.com:8443", "https://user:pass@auth.example.com"),
        ("http://http", "http://http:80"),
        ("HTTPS://Auth.Example.com", "HTTPS://Auth.Example.com"),
    ],
)
def test_signature_is_valid_with_or_without_the_port(app_url: str, signed_url: str) -> None:
    assert is_valid(signature(signed_url + TARGET, [], TOKEN), [], app_url=app_url)


@pytest.mark.parametrize(
    "signed_url",
    [
        "http://auth.example.com",
        "https://auth.example.com:444",
        "https://auth.example.com.",
        "https://auth.example.com/auth",
        "https://evil.example",
        "",
    ],
)
def test_signature_of_another_url_is_invalid(signed_url: str) -> None:
    assert not is_valid(signature(signed_url + TARGET, [], TOKEN), [])


def test_duplicate_form_values_are_signed_once() -> None:
    pairs = [("Media", "b"), ("A", "é"), ("Media", "a"), ("Media", "b")]

    signed = signature(APP_URL + TARGET, pairs, TOKEN)

    assert is_valid(signed, pairs)
    assert is_valid(signed, [("A", "é"), ("Media", "a"), ("Media", "b")])
    assert not is_valid(signed, [("A", "é"), ("Media", "a")])


@pytest.mark.parametrize(
    ("header", "algorithm"),
    [
        (None, "HMAC_SHA1"),
        ("", "HMAC_SHA1"),
        ("key=webhooks_sharedkey_0123", "HMAC_SHA1"),
        ("algorithm=", "HMAC_SHA1"),
        ("key=k,algorithm=HMAC_SHA1", "HMAC_SHA1"),
        (SHA_256, "HMAC_SHA256"),
        (" algorithm = hmac_sha256 , key = k", "HMAC_SHA256"),
        ("algorithm=,algorithm=HMAC_SHA256,algorithm=HMAC_SHA1", "HMAC_SHA256"),
    ],
)
def test_settings_header_selects_the_algorithm(header: str | None, algorithm: str) -> None:
    assert get_signature_algorithm(header).upper() == algorithm
    for name in ("HMAC_SHA1", "HMAC_SHA256"):
        signed = signature(APP_URL + TARGET, [("A", "1")], TOKEN, name)

        assert is_valid(signed, [("A", "1")], header=header) is (name == algorithm)


@pytest.mark.parametrize("header", ["algorithm=none", "algorithm=HMAC_MD5", "algorithm=sha1", "algorithm=HMAC_SHA512"])
def test_signature_with_an_unknown_algorithm_is_invalid(header: str) -> None:
    assert not is_valid(signature(APP_URL + TARGET, [], TOKEN), [], header=header)


@pytest.mark.parametrize("signed", [None, "", "=", "é", "\x00", "A" * 10_000])
def test_missing_signature_is_invalid(signed: str | None) -> None:
    assert not is_valid(signed, [])


def test_signature_without_an_auth_token_is_invalid() -> None:
    assert not is_valid(signature(APP_URL + TARGET, [], ""), [], tokens=())
