"""Check the redirect URIs that an application registers, and compare the URI of a request with them.

A registered URI has one spelling and one reading: parsers that disagree about an ambiguous URI would send an
authorization code to another host. Requests are compared character by character (RFC 9700, 2.1). The one exception is
the port of a loopback address, which the operating system assigns to a native application (RFC 8252, 7.3).
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

from auth1.applications.kinds import Kind
from auth1.errors import FieldError

MAX_CHARACTERS = 2000
MAX_URIS = 50  # of an application

_CHARACTER = r"[A-Za-z0-9._~!$&'()+,;=:@-]|%[0-9A-Fa-f]{2}"  # of a path segment (RFC 3986, 3.3), without *
_QUERY = rf"(?:\?(?P<query>(?:{_CHARACTER}|[/?])+))?"
_WEB = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?"
    rf"(?P<path>(?:/(?:{_CHARACTER}|/)*)?){_QUERY}"
)
# The scheme is a domain name in reverse order, so it has a dot (RFC 8252, 7.1 and 8.4).
_PRIVATE = re.compile(
    r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:"
    rf"(?P<path>//[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?:/(?:{_CHARACTER}|/)*)?|/(?!/)(?:{_CHARACTER}|/)*){_QUERY}"
)
_LOOPBACK = re.compile(r"http://(?P<host>127\.0\.0\.1|\[::1\]|localhost)(?::(?P<port>[1-9][0-9]{0,4}))?(?P<rest>.*)")
_LOOPBACK_HOSTS = ("127.0.0.1", "[::1]", "localhost")
_MAX_PORT: Final = 65_535
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a last label that makes a host an IPv4 address (WHATWG URL, 3.5)
_USER = re.compile(r"[^/?#]*:?//[^/?#]*@")
_ENCODED_DELIMITER = re.compile(r"%(?:2[EeFf5]|5[Cc])")
# Parameters of the response. A registered one of the same name would occur twice.
_RESPONSE = frozenset({"code", "state", "iss", "error", "error_description", "error_uri", "response", "session_state"})


def redirect_uri_errors(kind: Kind, field: str, uris: Sequence[str]) -> Iterator[FieldError]:
    """Yield an error for each URI that an application of a kind may not register."""
    for index, uri in enumerate(uris):
        if problem := redirect_uri_problem(kind, uri):
            yield FieldError(f"{field}[{index}]", problem)


def redirect_uri_problem(kind: Kind, uri: str) -> str | None:
    """Return the reason that an application of a kind must not register a URI, or None."""
    if kind == "machine":
        return "An application of kind machine has no such URIs."
    if problem := _character_problem(uri):
        return problem
    web = _WEB.fullmatch(uri)
    if web is None:
        return _private_problem(kind, uri)
    if web["scheme"] == "http" and web["host"] not in _LOOPBACK_HOSTS:
        return "Must begin with https://; http:// is only for localhost, 127.0.0.1 and [::1]."
    if web["port"] is not None and int(web["port"]) > _MAX_PORT:
        return "Must have a port from 1 to 65535."
    return _host_problem(web["host"]) or _path_problem(web["path"]) or _query_problem(web["query"])


def matches(kind: str, registered: Sequence[str], uri: str) -> bool:
    """Return whether the URI of a request is registered, or differs only by the loopback port of a native application.

    The response goes to `uri` itself, which has the right port.
    """
    if any(uri == known for known in registered):
        return True
    if kind != "native":
        return False
    parts = _loopback_parts(uri)
    return parts is not None and any(_loopback_parts(known) == parts for known in registered)


def _loopback_parts(uri: str) -> tuple[str, str] | None:
    """Return the host of a loopback URI and all that follows the port; None for other URIs."""
    match = _LOOPBACK.fullmatch(uri)
    if match is None or int(match["port"] or 80) > _MAX_PORT:
        return None
    rest: str = match["rest"]
    return None if rest[:1] not in ("", "/", "?") else (match["host"], rest)


def _character_problem(uri: str) -> str | None:
    if len(uri) > MAX_CHARACTERS:
        return f"Must be at most {MAX_CHARACTERS} characters."
    if not re.fullmatch(r"[!-~]+", uri) or re.search(r"[\"<>\\^`{|}]", uri):
        return (
            "Must contain only ASCII characters, without spaces, quotation marks and backslashes. "
            "Write an international host name in its form xn--."
        )
    if "*" in uri:
        return "Must not contain a wildcard: URIs are compared exactly. Register each one."
    if "#" in uri:
        return "Must not contain a fragment."
    if _USER.match(uri):
        return "Must not contain a user name or password."
    if re.search(r"%(?![0-9A-Fa-f]{2})", uri):
        return "Must contain % only in an encoded character such as %20."
    return None


def _private_problem(kind: Kind, uri: str) -> str | None:
    """Return the reason that a URI that is not an http URL must not be registered, or None."""
    if re.match(r"(?i)https?:", uri) or kind != "native":
        return "Must be a URL such as https://app.example.com/callback, with scheme and host in lower case."
    match = _PRIVATE.fullmatch(uri)
    if match is None:
        return (
            "Must be an https URL, a loopback URL such as http://127.0.0.1/callback, or have a scheme with a dot, "
            "such as com.example.app:/callback."
        )
    return _path_problem(match["path"]) or _query_problem(match["query"])


def _host_problem(host: str) -> str | None:
    labels = host.split(".")
    if host.startswith("["):
        is_valid = _is_plain_address(host[1:-1], ipaddress.IPv6Address)
    elif _NUMBER.fullmatch(labels[-1]):
        is_valid = _is_plain_address(host, ipaddress.IPv4Address)
    else:
        is_valid = len(host) <= 253 and all(map(_LABEL.fullmatch, labels))
    return None if is_valid else "Must have a valid host name, or an IP address in its usual form."


def _is_plain_address(text: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> bool:
    try:
        return str(kind(text)) == text
    except ValueError:
        return False


def _path_problem(path: str) -> str | None:
    """Return the reason that servers could read a path in several ways, or None."""
    if _ENCODED_DELIMITER.search(path):
        return "Must not contain an encoded slash, backslash, dot or percent sign in its path."
    # Some servers ignore what follows a semicolon in a segment: `..;/` is then `../`.
    if any(segment.partition(";")[0] in (".", "..") for segment in path.split("/")):
        return "Must not contain the path segments . and .. ."
    return _text_problem(path)


def _query_problem(query: str | None) -> str | None:
    if query is None:
        return None
    # Servers differ in whether a semicolon separates parameters.
    names = {name for name, _ in parse_qsl(query.replace(";", "&"), keep_blank_values=True)}
    if taken := sorted(names & _RESPONSE):
        return f"Must not contain the query parameter {taken[0]}, which the response adds."
    return _text_problem(query)


def _text_problem(encoded: str) -> str | None:
    try:
        text = unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        return "Must contain only encoded characters of UTF-8."
    if re.search(r"[\x00-\x1f\x7f-\x9f]", text):
        return "Must not contain encoded control characters."
    return None
