"""Every setting of the operator: read once at start from the environment, and checked together.

One `ConfigurationError` names all problems, so that an operator fixes them in one go. Each secret may come as
`NAME_FILE`, the path of a file that contains it (Docker and Kubernetes secrets). An empty variable counts as unset.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Literal, cast

import msgspec

from auth1.config import urls
from auth1.config.environ import SAMPLE_SECRETS, Environment
from auth1.config.providers import (
    SnsSettings,
    TwilioAccount,
    read_rates,
    read_sms_providers,
    read_smtp,
    read_sns,
    read_twilio,
)
from auth1.config.redis_url import redis_url_problems
from auth1.config.signing_keys import SigningKey, read_signing_keys
from auth1.config.sms_rates import Rates
from auth1.config.smtp import CONSOLE, SmtpSettings
from auth1.config.tracing import read_tracing

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LogFormat = Literal["json", "text"]

LOG_LEVELS = ("debug", "info", "warn", "error")
LOG_FORMATS = ("json", "text")
JWT_ALGORITHMS = ("HS256", "ES256", "EdDSA")
_DNS_SERVER = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?|([0-9a-fA-F:.]+)", re.ASCII)
SECRETS = frozenset(
    "DATABASE_URL DATABASE_READ_URL REDIS_URL JWT_SECRET JWT_SECRET_PREVIOUS JWT_PRIVATE_KEY ADMIN_TOKEN METRICS_TOKEN "
    "TWILIO_AUTH_TOKEN TWILIO_AUTH_TOKEN_PREVIOUS SMTP_URL".split()
)


class ConfigurationError(Exception):
    """The environment is not valid: one sentence per problem."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's settings. Names are those of the environment in lower case."""

    database_url: str
    database_read_url: str | None
    database_read_max_lag_ms: int
    redis_url: str
    redis_connect_timeout_ms: int
    redis_call_timeout_ms: int
    jwt_secret: str
    jwt_secret_previous: str | None
    jwt_algorithm: str
    signing_keys: tuple[SigningKey, ...]  # the first signs where jwt_algorithm is not HS256; all verify
    port: int
    host: str
    workers: int
    admin_token: str | None
    metrics_token: str | None
    database_pool_size: int
    database_statement_cache_size: int
    twilio: TwilioAccount | None
    sns: SnsSettings | None
    sms_providers: tuple[str, ...]
    sms_rates: Rates
    smtp: SmtpSettings | None
    email_to_console: bool  # for development only
    app_url: str
    app_url_is_set: bool
    cors_origins: tuple[str, ...]
    log_level: str
    log_format: LogFormat
    log_events: bool
    rate_limit_window_ms: int
    rate_limit_max: int
    timeout_scale: int  # multiplies the deadlines of requests, of PostgreSQL and of providers
    trusted_proxies: tuple[Network, ...]
    events_retention_months: int  # events of earlier months are dropped
    captcha_verify_url: str | None  # in place of the provider's own
    fraud_exposure_budget: float  # US dollars of unverified messages that a tenant's countries share
    webhook_allowed_networks: tuple[Network, ...]  # they may be private, and be called over http
    dns_servers: tuple[tuple[str, int], ...]  # for TXT records; none: those of the system
    geoip_file: str | None  # a country database (.mmdb), reloaded when it changes
    metrics_tenants: int  # tenants with metrics of their own; 0: none
    tracing: bool  # spans are exported by OpenTelemetry

    @property
    def pool_size_per_worker(self) -> int:
        """Return the share of one worker in DATABASE_POOL_SIZE, which is for the instance."""
        return max(1, self.database_pool_size // self.workers)


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings of `auth1 serve`.

    Raises ConfigurationError with every problem found.
    """
    env = Environment(environ, SECRETS)
    algorithm, signing_keys = _read_signing_keys(env)
    order = env.items("SMS_PROVIDERS", "", str.lower)
    twilio, sns = read_twilio(env), read_sns(env, order)
    configured = tuple(name for name, account in (("twilio", twilio), ("sns", sns)) if account is not None)
    read_url = env.text("DATABASE_READ_URL")
    settings = Settings(
        database_url=env.checked("DATABASE_URL", env.required("DATABASE_URL"), urls.database_url_problems),
        database_read_url=env.checked("DATABASE_READ_URL", read_url, urls.database_url_problems) or None,
        database_read_max_lag_ms=env.integer("DATABASE_READ_MAX_LAG_MS", 10_000, 0, 3_600_000),
        redis_url=env.checked("REDIS_URL", env.required("REDIS_URL"), redis_url_problems),
        redis_connect_timeout_ms=env.integer("REDIS_CONNECT_TIMEOUT_MS", 100, 10, 10_000),
        redis_call_timeout_ms=env.integer("REDIS_CALL_TIMEOUT_MS", 50, 5, 5_000),
        jwt_secret=env.secret("JWT_SECRET", required=True) or "",
        jwt_secret_previous=env.secret("JWT_SECRET_PREVIOUS"),
        jwt_algorithm=algorithm,
        signing_keys=signing_keys,
        port=env.integer("PORT", 3000, 1, 65535),
        host=_read_host(env),
        workers=env.integer("WORKERS", 1, 1, 64),
        admin_token=env.bearer_token("ADMIN_TOKEN"),
        metrics_token=env.bearer_token("METRICS_TOKEN"),
        database_pool_size=env.integer("DATABASE_POOL_SIZE", 20, 1, 1000),
        database_statement_cache_size=env.integer("DATABASE_STATEMENT_CACHE_SIZE", 100, 0, 10_000),
        twilio=twilio,
        sns=sns,
        sms_providers=read_sms_providers(env, order, configured),
        sms_rates=read_rates(env),
        smtp=read_smtp(env),
        email_to_console=env.text("SMTP_URL") == CONSOLE,
        app_url=env.web_url("APP_URL", "http://localhost:3000"),
        app_url_is_set=env.text("APP_URL") is not None,
        cors_origins=_read_origins(env),
        log_level=env.one_of("LOG_LEVEL", "info", LOG_LEVELS),
        log_format=cast(LogFormat, env.one_of("LOG_FORMAT", "json", LOG_FORMATS)),
        log_events=env.switch("LOG_EVENTS", default=True),
        rate_limit_window_ms=env.integer("RATE_LIMIT_WINDOW_MS", 3_600_000, 100, 86_400_000),
        rate_limit_max=env.integer("RATE_LIMIT_MAX", 100, 1, 1_000_000),
        timeout_scale=env.integer("TIMEOUT_SCALE", 1, 1, 100),
        events_retention_months=env.integer("EVENTS_RETENTION_MONTHS", 13, 1, 120),
        trusted_proxies=env.items("TRUSTED_PROXIES", "127.0.0.1/32,::1/128", _parse_network),
        captcha_verify_url=env.web_url("CAPTCHA_VERIFY_URL") or None,
        fraud_exposure_budget=env.dollars("FRAUD_EXPOSURE_BUDGET", 10.0, 1_000_000),
        webhook_allowed_networks=env.items("WEBHOOK_ALLOWED_NETWORKS", "", _parse_network),
        dns_servers=env.items("DNS_SERVERS", "", _parse_dns_server),
        geoip_file=env.text("GEOIP_FILE"),
        metrics_tenants=env.integer("METRICS_TENANTS", 0, 0, 1000),
        tracing=read_tracing(env),
    )
    env.problems.extend(_contradictions(settings))
    if env.problems:
        raise ConfigurationError(list(dict.fromkeys(env.problems)))
    return settings


def load_database_url(environ: Mapping[str, str]) -> str:
    """Read the one setting of `auth1 migrate`. Raises ConfigurationError."""
    env = Environment(environ, SECRETS)
    url = env.checked("DATABASE_URL", env.required("DATABASE_URL"), urls.database_url_problems)
    if env.problems:
        raise ConfigurationError(env.problems)
    return url


def _read_signing_keys(env: Environment) -> tuple[str, tuple[SigningKey, ...]]:
    algorithm = env.text("JWT_ALGORITHM", "HS256") or "HS256"
    if algorithm not in JWT_ALGORITHMS:
        env.problems.append(f"JWT_ALGORITHM must be one of {', '.join(JWT_ALGORITHMS)}")
        return algorithm, ()
    pem = env.text("JWT_PRIVATE_KEY", lines=True)
    if pem is None:
        if algorithm != "HS256":
            env.problems.append(f"JWT_PRIVATE_KEY is required for JWT_ALGORITHM={algorithm}")
        return algorithm, ()
    try:
        return algorithm, read_signing_keys(pem, algorithm)
    except ValueError as error:
        env.problems.append(str(error))
        return algorithm, ()


def _read_host(env: Environment) -> str:
    """Return the address to listen on. `localhost` is 127.0.0.1, and brackets around IPv6 are removed."""
    text = env.text("HOST", "0.0.0.0") or ""
    host = "127.0.0.1" if text.lower() == "localhost" else text.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(host)
        is_valid = "%" not in host
    except ValueError:
        is_valid = False
    if not is_valid:
        env.problems.append(
            f"HOST must be an IP address to listen on, not {text!r}: 0.0.0.0 or :: for all networks, "
            "127.0.0.1 for this machine alone"
        )
    return host


def _read_origins(env: Environment) -> tuple[str, ...]:
    origins = env.items("CORS_ORIGINS", "*", urls.parse_origin)
    if "*" in origins and len(origins) > 1:
        env.problems.append("CORS_ORIGINS: * allows every origin; remove it, or remove the others")
    return origins


def _parse_dns_server(text: str) -> tuple[str, int]:
    """Return address and port. Raises ValueError with the problem."""
    hint = "is not an IP address with an optional port, such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353"
    match = _DNS_SERVER.fullmatch(text)
    address, port = (match[1] or match[2] or match[4], int(match[3] or "53")) if match else ("", 0)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise ValueError(hint) from None
    if not 0 < port < 65536:
        raise ValueError(hint)
    return address, port


def _parse_network(text: str) -> Network:
    """Return a network. Raises ValueError with the problem."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        hint = f"has host bits set; write {ipaddress.ip_network(text, strict=False)}"
    except ValueError:
        hint = "is not a network; write an address or a network, such as 10.0.0.0/8"
    raise ValueError(hint)


def _contradictions(settings: Settings) -> list[str]:
    """Return the problems of settings that are valid alone and not together."""
    problems = []
    if settings.database_pool_size < settings.workers:
        problems.append("DATABASE_POOL_SIZE must be at least WORKERS: each worker needs a connection")
    if settings.jwt_secret_previous and settings.jwt_secret_previous == settings.jwt_secret:
        problems.append("JWT_SECRET_PREVIOUS is the same as JWT_SECRET; set it to the old secret, or unset it")
    for name, token in (("ADMIN_TOKEN", settings.admin_token), ("METRICS_TOKEN", settings.metrics_token)):
        if token is not None and token not in SAMPLE_SECRETS and token == settings.jwt_secret:
            problems.append(f"{name} is the same as JWT_SECRET; each secret needs a value of its own")
    if settings.metrics_token is not None and settings.metrics_token == settings.admin_token:
        problems.append("METRICS_TOKEN is the same as ADMIN_TOKEN; each secret needs a value of its own")
    return problems
