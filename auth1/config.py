"""Every setting: read once at start from the environment, validated together.

All problems are named in one `ConfigurationError`, so that an operator fixes them in one go. Each secret may come as
`NAME_FILE`, the path of a file that holds it (Docker and Kubernetes secrets). An empty variable counts as unset.
"""

import importlib.util
import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from auth1 import mail_server
from auth1.mail_server import Smtp

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Item = TypeVar("Item")

LOG_LEVELS = ("debug", "info", "warn", "error")
SMS_PROVIDERS = ("twilio", "sns", "console")
SECRETS = frozenset(
    "DATABASE_URL REDIS_URL JWT_SECRET JWT_SECRET_PREVIOUS ADMIN_TOKEN METRICS_TOKEN TWILIO_AUTH_TOKEN "
    "TWILIO_AUTH_TOKEN_PREVIOUS SMTP_URL".split()
)
SAMPLE_SECRETS = {"your-256-bit-secret-here", "your_twilio_token", "your_auth_token_here"}  # printed in guides
MIN_SECRET_BYTES = 32  # HS256 wants a key as long as its hash (RFC 7518, 3.2)


class ConfigurationError(Exception):
    """The environment does not describe a service that could run: one sentence per problem."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class Twilio(msgspec.Struct, frozen=True):
    """The account that sends SMS. `api_url` points elsewhere in tests and behind proxies."""

    account_sid: str
    auth_token: str
    messaging_service_sid: str
    api_url: str
    auth_token_previous: str | None = None  # accepted for checking signatures only


class Sns(msgspec.Struct, frozen=True):
    """How SMS go through AWS SNS. Who pays is between AWS' own library and its environment."""

    region: str
    origination_number: str | None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator has decided. Names are those of the environment in lower case."""

    database_url: str
    redis_url: str
    jwt_secret: str
    jwt_secret_previous: str | None
    port: int
    host: str
    workers: int
    admin_token: str | None
    metrics_token: str | None
    database_pool_size: int
    database_statement_cache_size: int
    twilio: Twilio | None
    sns: Sns | None
    sms_providers: tuple[str, ...]
    smtp: Smtp | None
    app_url: str
    app_url_is_set: bool
    cors_origins: tuple[str, ...]
    log_level: str
    rate_limit_window_ms: int
    rate_limit_max: int
    trusted_proxies: tuple[Network, ...]

    @property
    def warnings(self) -> list[str]:
        """What works and is unwise."""
        token = self.admin_token
        weak = token is not None and len(token.encode()) < MIN_SECRET_BYTES
        return [
            *(
                [f"ADMIN_TOKEN is shorter than {MIN_SECRET_BYTES} bytes: make one with openssl rand -hex 32"]
                if weak
                else []
            ),
            *(
                []
                if self.sms_providers
                else ["no SMS provider is configured: set TWILIO_ACCOUNT_SID and its companions, or AWS_SNS_REGION"]
            ),
        ]

    @property
    def pool_size_per_worker(self) -> int:
        """DATABASE_POOL_SIZE is for the instance; its workers share it."""
        return max(1, self.database_pool_size // self.workers)


class _Environment:
    """Takes variables one by one and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, name: str, default: str | None = None) -> str | None:
        value = self._environ.get(name, "").strip()
        path = self._environ.get(f"{name}_FILE", "").strip() if name in SECRETS else ""
        if value and path:
            self.problems.append(f"{name} and {name}_FILE are both set; keep one")
        elif path:
            try:
                value = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                self.problems.append(f"{name}_FILE cannot be read: {error}")
        if "\0" in value or "\n" in value:
            self.problems.append(f"{name} must be one line")
        return value or default

    def required(self, name: str) -> str:
        value = self.text(name)
        if value is None and not any(problem.startswith(name) for problem in self.problems):
            self.problems.append(f"{name} is required")
        return value or ""

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,12}", value, re.ASCII) or not low <= int(value) <= high:
            self.problems.append(f"{name} must be a whole number from {low} to {high}")
            return default
        return int(value)

    def secret(self, name: str, *, required: bool = False) -> str | None:
        value = self.required(name) if required else self.text(name)
        if not value:
            return None
        if value in SAMPLE_SECRETS:
            self.problems.append(f"{name} is the sample from the guide; make your own with: openssl rand -hex 32")
        elif len(value.encode()) < MIN_SECRET_BYTES:
            self.problems.append(
                f"{name} is shorter than {MIN_SECRET_BYTES} bytes; make one with: openssl rand -hex 32"
            )
        return value

    def url(self, name: str, value: str, schemes: tuple[str, ...]) -> str:
        try:
            parts = urlsplit(value)
            _ = parts.port  # raises on a port that is none
            sound = parts.scheme in schemes and bool(parts.hostname or parts.path.strip("/"))
        except ValueError:
            sound = False
        if value and not sound:
            self.problems.append(f"{name} must be a URL that starts with {' or '.join(f'{s}://' for s in schemes)}")
        return value

    def items(self, name: str, default: str, parse: Callable[[str], Item], meaning: str) -> tuple[Item, ...]:
        items: list[Item] = []
        for item in (self.text(name, default) or "").split(","):
            if not item.strip():
                continue
            try:
                items.append(parse(item.strip()))
            except ValueError:
                self.problems.append(f"{name}: {item.strip()!r} is not {meaning}")
        return tuple(items)


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings of `auth1 serve`.

    Raises ConfigurationError with every problem found.
    """
    env = _Environment(environ)
    order = env.items("SMS_PROVIDERS", "", str.lower, "a provider")
    twilio, sns = _twilio(env), _sns(env, order)
    configured = tuple(name for name, account in (("twilio", twilio), ("sns", sns)) if account is not None)
    settings = Settings(
        database_url=env.url("DATABASE_URL", env.required("DATABASE_URL"), ("postgresql", "postgres")),
        redis_url=env.url("REDIS_URL", env.required("REDIS_URL"), ("redis", "rediss", "unix")),
        jwt_secret=env.secret("JWT_SECRET", required=True) or "",
        jwt_secret_previous=env.secret("JWT_SECRET_PREVIOUS"),
        port=env.integer("PORT", 3000, 0, 65535),
        host=env.text("HOST", "0.0.0.0") or "",
        workers=env.integer("WORKERS", 1, 1, 64),
        admin_token=env.text("ADMIN_TOKEN"),
        metrics_token=env.text("METRICS_TOKEN"),
        database_pool_size=env.integer("DATABASE_POOL_SIZE", 20, 1, 1000),
        database_statement_cache_size=env.integer("DATABASE_STATEMENT_CACHE_SIZE", 100, 0, 10_000),
        twilio=twilio,
        sns=sns,
        sms_providers=_sms_providers(env, order, configured),
        smtp=_smtp(env),
        app_url=env.url("APP_URL", env.text("APP_URL", "http://localhost:3000") or "", ("https", "http")).rstrip("/"),
        app_url_is_set=env.text("APP_URL") is not None,
        cors_origins=env.items("CORS_ORIGINS", "*", _origin, "an origin like https://app.example.com, or *"),
        log_level=_one_of(env, "LOG_LEVEL", "info", LOG_LEVELS),
        rate_limit_window_ms=env.integer("RATE_LIMIT_WINDOW_MS", 3_600_000, 100, 86_400_000),
        rate_limit_max=env.integer("RATE_LIMIT_MAX", 100, 1, 1_000_000),
        trusted_proxies=env.items(
            "TRUSTED_PROXIES", "127.0.0.1/32,::1/128", ipaddress.ip_network, "a network like 10.0.0.0/8"
        ),
    )
    if settings.database_pool_size < settings.workers:
        env.problems.append("DATABASE_POOL_SIZE must be at least WORKERS: each worker needs a connection")
    if env.problems:
        raise ConfigurationError(env.problems)
    return settings


def load_database_url(environ: Mapping[str, str]) -> str:
    """Read the one setting of `auth1 migrate`. Raises ConfigurationError."""
    env = _Environment(environ)
    url = env.url("DATABASE_URL", env.required("DATABASE_URL"), ("postgresql", "postgres"))
    if env.problems:
        raise ConfigurationError(env.problems)
    return url


def _twilio(env: _Environment) -> Twilio | None:
    names = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_MESSAGING_SERVICE_SID")
    sid, token, service, previous = (env.text(name) for name in (*names, "TWILIO_AUTH_TOKEN_PREVIOUS"))
    api_url = env.text("TWILIO_API_URL", "https://api.twilio.com") or ""
    if sid is None and token is None and service is None:
        return None
    missing = [name for name, value in zip(names, (sid, token, service), strict=True) if value is None]
    if sid is None or token is None or service is None:
        env.problems.append(f"{' and '.join(missing)} must be set too: Twilio needs all three")
        return None
    if not re.fullmatch(r"AC[0-9A-Za-z]{32}", sid):
        env.problems.append("TWILIO_ACCOUNT_SID must be AC and 32 characters")
    if not re.fullmatch(r"MG[0-9A-Za-z]{32}", service):
        env.problems.append("TWILIO_MESSAGING_SERVICE_SID must be MG and 32 characters")
    if token in SAMPLE_SECRETS or previous in SAMPLE_SECRETS:
        env.problems.append("TWILIO_AUTH_TOKEN is the sample from the guide")
    return Twilio(sid, token, service, env.url("TWILIO_API_URL", api_url, ("https", "http")).rstrip("/"), previous)


def _sns(env: _Environment, order: tuple[str, ...]) -> Sns | None:
    """SNS is configured when anything says so: its own settings, credentials in the environment, or the order."""
    region, number = env.text("AWS_SNS_REGION"), env.text("SNS_ORIGINATION_NUMBER")
    endpoint = env.url("AWS_ENDPOINT_URL_SNS", env.text("AWS_ENDPOINT_URL_SNS") or "", ("https", "http"))
    credentials = env.text("AWS_ACCESS_KEY_ID") or env.text("AWS_WEB_IDENTITY_TOKEN_FILE")
    if not (region or number or endpoint or credentials) and "sns" not in order:
        return None
    if region is not None and not re.fullmatch(r"[a-z]{2,3}(-[a-z]+)+-[0-9]{1,2}", region):
        env.problems.append("AWS_SNS_REGION must be a region like us-east-1")
    if number is not None and not re.fullmatch(r"\+[1-9][0-9]{6,14}", number, re.ASCII):
        env.problems.append("SNS_ORIGINATION_NUMBER must be a number in E.164, like +12015550123")
    return Sns(region or "us-east-1", number)


def _sms_providers(env: _Environment, named: tuple[str, ...], configured: tuple[str, ...]) -> tuple[str, ...]:
    """Providers in order of trial; those that are configured where the operator names none."""
    for name in named:
        if name not in SMS_PROVIDERS:
            env.problems.append(f"SMS_PROVIDERS: {name!r} is none of {', '.join(SMS_PROVIDERS)}")
    if "twilio" in named and "twilio" not in configured:
        env.problems.append("SMS_PROVIDERS names twilio, but TWILIO_ACCOUNT_SID and its companions are not set")
    if len(set(named)) < len(named):
        env.problems.append("SMS_PROVIDERS names a provider twice")
    providers = named or configured
    if "sns" in providers and importlib.util.find_spec("aioboto3") is None:
        env.problems.append("SMS_PROVIDERS: sns needs aioboto3: pip install 'auth1[sns]', or name other providers")
    return providers


def _smtp(env: _Environment) -> Smtp | None:
    url, sender = env.text("SMTP_URL"), env.text("EMAIL_FROM")
    if url is not None and sender is not None:
        try:
            return mail_server.read(url, sender)
        except ValueError as error:
            env.problems.extend(error.args)
    elif url is not None or sender is not None:
        env.problems.append(f"{'EMAIL_FROM' if url else 'SMTP_URL'} must be set too: email needs both")
    return None


def _origin(item: str) -> str:
    if item != "*" and not re.fullmatch(r"https?://[a-z0-9.\-\[\]:]+", item):
        raise ValueError
    return item


def _one_of(env: _Environment, name: str, default: str, values: tuple[str, ...]) -> str:
    value = (env.text(name, default) or default).lower()
    if value not in values:
        env.problems.append(f"{name} must be one of {', '.join(values)}")
    return value
