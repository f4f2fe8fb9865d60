"""The names that a tenant's host may have, and the TXT record that verifies it."""

from auth1.errors import FieldError, ValidationFailed

RECORD_LABEL = "_auth1"  # before the host: other records of the name stay free
RECORD_PREFIX = "auth1-host="  # before the token
MAX_CHARACTERS = 240  # with the label it is a name of at most 253
_ENCODED = "xn--"


def check_name(host: str, app_host: str) -> None:
    """Check a name in the form of `HostName`. `app_host` is that of APP_URL. Raises ValidationFailed."""
    if problem := _problem(host, app_host):
        raise ValidationFailed(errors=[FieldError("host", problem)])


def record_name(host: str) -> str:
    """Return the name of the TXT record of a host."""
    return f"{RECORD_LABEL}.{host}"


def record_value(token: str) -> str:
    """Return the text of the record."""
    return RECORD_PREFIX + token


def _problem(host: str, app_host: str) -> str | None:
    labels = host.split(".")
    if len(labels) < 2 or labels[-1] == "localhost":
        return "Must be a name of a domain, such as login.example.com."
    if len(host) > MAX_CHARACTERS:
        return f"Must have at most {MAX_CHARACTERS} characters."
    if host == app_host:
        return "Must not be the host of APP_URL."
    if not all(map(_is_canonical_label, labels)):
        return "Must write each international label in its one encoded form (xn--…)."
    return None


def _is_canonical_label(label: str) -> bool:
    """Return whether a label is ASCII, or the one encoding of a label that is not."""
    if not label.startswith(_ENCODED):
        return label[2:4] != "--"
    encoded = label.removeprefix(_ENCODED)
    try:
        text = encoded.encode("ascii").decode("punycode")
        return not text.isascii() and text == text.lower() and text.encode("punycode").decode("ascii") == encoded
    except UnicodeError:
        return False
