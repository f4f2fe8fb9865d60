"""REDIS_URL: what each form may contain, checked before anything connects.

    redis://user:password@host:port/database                          one server
    unix:///path?db=0                                                 one server, by its socket
    redis+sentinel://user:password@host:port,host:port/service/db     the primary of a service
    redis+cluster://user:password@host:port,host:port                 a cluster, by some of its servers

`rediss://`, `rediss+sentinel://` and `rediss+cluster://` use TLS, with the parameters of `TLS_PARAMETERS`.
"""

import importlib.util
import re
import ssl
from collections.abc import Iterator
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from auth1.config.urls import SPECIAL_CHARACTERS, file_problem, host_problem, is_certificate_file, split_url

SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)
SENTINEL_PORT = 26379
TLS_PARAMETERS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname", "ssl_cert_reqs")
SENTINEL_PARAMETERS = ("sentinel_username", "sentinel_password")
_CHOICES = {"ssl_check_hostname": ("true", "false"), "ssl_cert_reqs": ("required", "none")}


def split_hosts(parts: SplitResult) -> list[tuple[str, int]]:
    """Return the hosts of a URL with their ports, "" and 0 where the URL has none. Raises ValueError for a port."""
    hosts = parts.netloc.rpartition("@")[2].split(",")
    each = [urlsplit(f"//{host}") for host in hosts]
    return [(one.hostname or "", one.port or 0) for one in each]


def redis_url_problems(url: str) -> Iterator[str]:
    """Return one sentence for each problem of a Redis URL, without the name of the variable."""
    parts = split_url(url, SCHEMES, may_list_hosts="," in url.partition("://")[2].partition("/")[0])
    if isinstance(parts, str):
        yield parts
        return
    kind = parts.scheme.partition("+")[2]
    if "@" in parts.netloc.rpartition("@")[0] or parts.fragment:
        yield SPECIAL_CHARACTERS
    yield from _host_problems(parts, kind)
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.query and not parameters:
        yield "must have parameters like ?db=0"
    yield from _database_problems(parts, kind, parameters.get("db"))
    yield from _parameter_problems(parts.scheme, kind, parameters)
    if unquote(parts.username or "") and parts.password is None:
        yield "has a user name without a password; write redis://:password@host where there is only a password"
    if kind and importlib.util.find_spec("redis") is None:
        yield f"is {parts.scheme}://, which needs redis-py; run pip install 'auth1[redis]'"


def uses_tls(url: str) -> bool:
    return url.startswith("rediss")


def skips_verification(url: str) -> bool:
    """Return whether certificates are not checked."""
    return "none" in [value for name, value in parse_qsl(urlsplit(url).query) if name == "ssl_cert_reqs"]


def _host_problems(parts: SplitResult, kind: str) -> Iterator[str]:
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            yield "must name the socket's path, as in unix:///run/redis/redis.sock"
        return
    try:
        hosts = split_hosts(parts)
    except ValueError:
        yield "must have a port from 1 to 65535 after each host"
        return
    if len(hosts) > 1 and not kind:
        yield "lists several hosts; use redis+sentinel:// or redis+cluster://"
    for host, _ in hosts if len(hosts) > 1 else ():  # a single one is checked with the URL
        if not host:
            yield "must name a host before and after each comma"
        elif problem := host_problem(host):
            yield problem


def _database_problems(parts: SplitResult, kind: str, parameter: str | None) -> Iterator[str]:
    path = "" if parts.scheme == "unix" else parts.path.strip("/")
    if kind == "sentinel":
        service, _, path = path.partition("/")
        if not service:
            yield "must name the service after the hosts, as in redis+sentinel://host:26379/mymaster/0"
    for database in (path, parameter):
        if database and not re.fullmatch(r"[0-9]{1,5}", database, re.ASCII):
            yield f"must end in the number of a database, as in /0, not {database!r}"
        elif kind == "cluster" and database and int(database):
            yield f"names the database {database}; a cluster has only database 0"
    if path and parameter is not None and path != parameter:
        yield "names two databases; keep the path or the parameter db"


def _parameter_problems(scheme: str, kind: str, parameters: dict[str, str]) -> Iterator[str]:
    has_tls = scheme.startswith("rediss")
    known = {"db", *(TLS_PARAMETERS if has_tls else ()), *(SENTINEL_PARAMETERS if kind == "sentinel" else ())}
    for name in sorted(parameters.keys() - known):
        if name in TLS_PARAMETERS:
            yield f"has the parameter {name}, which needs TLS: write {scheme.replace('redis', 'rediss', 1)}://"
        elif name in SENTINEL_PARAMETERS:
            yield f"has the parameter {name}, which is for redis+sentinel:// only; remove it"
        else:
            yield f"has the parameter {name}, which Auth1 does not support; remove it"
    for name, choices in _CHOICES.items():
        if name in parameters and parameters[name] not in choices:
            yield f"has {name}={parameters[name]}; use one of {', '.join(choices)}"
    if has_tls:
        yield from _file_problems(parameters)


def _file_problems(parameters: dict[str, str]) -> Iterator[str]:
    files = {name: parameters[name] for name in TLS_PARAMETERS[:3] if name in parameters}
    unreadable = {name: problem for name, path in files.items() if (problem := file_problem(path))}
    problems = [f"has {name}={files[name]}, which {problem}" for name, problem in unreadable.items()]
    yield from problems
    if "ssl_keyfile" in files and "ssl_certfile" not in files:
        yield "has ssl_keyfile without ssl_certfile; add the certificate of the key"
    if problems:
        return
    if "ssl_ca_certs" in files and not is_certificate_file(files["ssl_ca_certs"]):
        yield f"has ssl_ca_certs={files['ssl_ca_certs']}, which holds no certificate in PEM"
    if "ssl_certfile" in files:
        try:
            ssl.create_default_context().load_cert_chain(files["ssl_certfile"], files.get("ssl_keyfile"), password="")
        except ssl.SSLError:
            yield "has ssl_certfile and ssl_keyfile that do not fit; give a PEM certificate and its key, unencrypted"
