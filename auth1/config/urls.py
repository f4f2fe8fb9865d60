"""URLs of the environment: what each may contain, checked before anything connects.

Each function returns one sentence per problem, without the name of the variable.
"""

import ipaddress
import os
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "postgres": 5432}
POSTGRES_SCHEMES = ("postgresql", "postgres")
WEB_SCHEMES = ("https", "http")

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
SPECIAL_CHARACTERS = "percent-encode special characters of the password: @ is %40, # is %23, / is %2F, ? is %3F"
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SESSION_ATTRIBUTES = ("any", "primary", "standby", "prefer-standby", "read-write", "read-only")
_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_SYSTEM_CAS = "/etc/ssl/certs/ca-certificates.crt"
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
# Parameters of libpq and of other drivers. asyncpg would send them to the server, which does not know them.
_FOREIGN_PARAMETERS = frozenset(
    "channel_binding connect_timeout connection_limit client_encoding gssencmode hostaddr keepalives keepalives_count "
    "keepalives_idle keepalives_interval load_balance_hosts max_protocol_version min_protocol_version pgbouncer "
    "pool_timeout replication require_auth requirepeer requiressl schema sslcertmode sslcompression sslsni "
    "ssl sslaccept sslidentity socket_timeout statement_cache_size tcp_user_timeout uselibpqcompat".split()
)


def web_url_problems(url: str) -> Iterator[str]:
    """Check an absolute http or https URL that paths are appended to."""
    parts = split_url(url, WEB_SCHEMES)
    if isinstance(parts, str):
        yield parts
        return
    if "@" in parts.netloc:
        yield "must not contain a user name or password"
    if "?" in url or "#" in url:
        yield "must end before the ? or #: remove the query and the fragment"
    path = parts.path.strip("/")
    if path and not all(re.fullmatch(r"(?!\.{1,2}$)[A-Za-z0-9._~-]+", segment) for segment in path.split("/")):
        yield "has an invalid path; use letters, digits, - and _ between single slashes"


def normalised_web_url(url: str) -> str:
    """Return a valid web URL in the spelling of browsers: lower case, no default port, no slash at the end."""
    parts = urlsplit(url)
    return f"{origin_of(url)}{parts.path.rstrip('/')}"


def host_of(url: str) -> str:
    """Return the host of a valid URL in lower case, without brackets."""
    return (urlsplit(url).hostname or "").lower()


def origin_of(url: str) -> str:
    """Return the origin of a valid URL as browsers write it (RFC 6454, 6.2)."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def parse_origin(text: str) -> str:
    """Return an origin in the spelling of browsers, or `*`. Raises ValueError with the problem."""
    if text == "*":
        return text
    if text.lower() == "null":
        raise ValueError("is not an origin that can be trusted: any sandboxed page sends it")
    if "*" in text:
        raise ValueError("contains a wildcard; list each origin, or use * alone for all")
    scheme = text.partition("://")[0].lower()
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) or "://" not in text:
        raise ValueError("must be an origin like https://app.example.com, or *")
    if scheme in ("file", "data", "javascript", "blob", "about", "ws", "wss"):
        raise ValueError(f"cannot be an origin: browsers send no origin with the scheme {scheme}")
    parts = split_url(text, (scheme,))
    if isinstance(parts, str):
        raise ValueError(parts)
    if "@" in parts.netloc or parts.path not in ("", "/") or "?" in text or "#" in text:
        raise ValueError(f"must be an origin without user, path, query and fragment: {origin_of(text)}")
    return origin_of(text)


def database_url_problems(url: str) -> Iterator[str]:
    """Check a PostgreSQL URL with the parameters that the driver knows."""
    parts = split_url(url, POSTGRES_SCHEMES, may_list_hosts=True)
    if isinstance(parts, str):
        yield parts
        return
    if "@" in parts.netloc.rpartition("@")[0] or parts.fragment:
        yield SPECIAL_CHARACTERS
    try:
        parameters = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query), keep_blank_values=True))
    except ValueError:
        yield "must have parameters like ?sslmode=require&application_name=auth1"
        return
    if not (parts.path.strip("/") or parameters.keys() & {"dbname", "database", "service"}):
        yield "must name the database after the host, as in postgresql://user:password@host:5432/auth1_db"
    if "," in parts.netloc and "target_session_attrs" not in parameters:
        yield "lists several hosts; append target_session_attrs=read-write, or any for replicas"
    yield from _parameter_problems(parameters)


def _parameter_problems(parameters: dict[str, str]) -> Iterator[str]:
    for name in sorted(parameters.keys() & _FOREIGN_PARAMETERS):
        yield f"has the parameter {name}, which the driver does not support; remove it"
    mode = parameters.get("sslmode")
    if mode is not None and mode not in _SSL_MODES:
        yield f"has sslmode={mode}; use one of {', '.join(_SSL_MODES)}"
    attributes = parameters.get("target_session_attrs", "any")
    if attributes not in SESSION_ATTRIBUTES:
        yield f"has target_session_attrs={attributes}; use one of {', '.join(SESSION_ATTRIBUTES)}"
    for name in _FILES:
        if name in parameters and (problem := file_problem(parameters[name])):
            yield f"has {name}={parameters[name]}, which {problem}"
        elif name == "sslrootcert" and name in parameters and not is_certificate_file(parameters[name]):
            yield f"has {name}={parameters[name]}, which holds no certificate in PEM"
    if "sslrootcert" in parameters and mode in (None, "disable", "allow", "prefer"):
        yield "has sslrootcert, but no sslmode that checks it; add sslmode=verify-full"
    if mode in ("verify-ca", "verify-full") and not ("sslrootcert" in parameters or _has_default_root()):
        yield f"has sslmode={mode} without a CA file; add sslrootcert, for example {_SYSTEM_CAS}"
    for name in ("ssl_min_protocol_version", "ssl_max_protocol_version"):
        if parameters.get(name, "TLSv1.2") not in _TLS_VERSIONS:
            yield f"has {name}={parameters[name]}; use one of {', '.join(_TLS_VERSIONS)}"


def is_certificate_file(name: str) -> bool:
    try:
        ssl.create_default_context(cafile=name)
    except ssl.SSLError:
        return False
    return True


def _has_default_root() -> bool:
    """Return whether the driver finds a CA file without a parameter, as libpq does."""
    return "PGSSLROOTCERT" in os.environ or Path("~/.postgresql/root.crt").expanduser().exists()


def file_problem(name: str) -> str | None:
    """Return the reason that a file cannot be read, or None."""
    try:
        with Path(name).open("rb"):
            return None
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except ValueError:
        return "is not a path"


def host_problem(host: str) -> str | None:
    """Return the problem of the spelling of a host name or address, or None."""
    if not host.isascii():
        try:
            return f"has a host name that is not ASCII; write {host.encode('idna').decode()}"
        except UnicodeError:
            return "has a host name that is not ASCII"
    try:
        ipaddress.ip_address(host)
        return None
    except ValueError:
        pass
    labels = host.lower().removesuffix(".").split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return f"has the invalid host name {host!r}"
    if labels[-1].isdigit():
        return f"has the invalid address {host!r}"
    return None


def split_url(url: str, schemes: tuple[str, ...], *, may_list_hosts: bool = False) -> SplitResult | str:
    """Return the parts of a URL, or why it has none."""
    starts = " or ".join(f"{scheme}://" for scheme in schemes)
    if re.search(r"[\x00-\x20\x7f\\]", url):
        return "must not contain spaces, control characters or backslashes"
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"must be a URL that starts with {starts}; {SPECIAL_CHARACTERS}"
    if parts.scheme not in schemes or not url[len(parts.scheme) :].startswith("://"):
        return f"must be a URL that starts with {starts}"
    if may_list_hosts and "," in parts.netloc:
        return parts
    try:
        port = parts.port
    except ValueError:
        return f"must have a port from 1 to 65535 after the host; {SPECIAL_CHARACTERS}"
    if port == 0:
        return "must have a port from 1 to 65535 after the host"
    if parts.hostname is None:
        local = parts.scheme == "unix" or (may_list_hosts and (parts.path.strip("/") or parts.query))
        return parts if local else f"must be a URL that starts with {starts} and names a host"
    host = unquote(parts.hostname)
    is_socket = may_list_hosts and host.startswith("/")  # PostgreSQL's directory of sockets: postgresql://%2Frun/name
    return parts if is_socket else host_problem(host) or parts
