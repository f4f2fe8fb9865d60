"""Every setting: read once at start from the environment, validated together.

All problems are named in one `ConfigurationError`, so that an operator fixes them in one go. Each secret may come as
`NAME_FILE`, the path of a file that holds it (Docker and Kubernetes secrets). An empty variable counts as unset.
"""

import importlib.util
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from auth1.config.environ import MIN_SECRET_BYTES, SAMPLE_SECRETS, Environment
from auth1.config.signing_keys import SigningKey, read_signing_keys
from auth1.config.sms_rates import BUILT_IN, Rates, read_sms_rates
from auth1.config.smtp import CONSOLE, Smtp, read_smtp_url

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOG_LEVELS = ("debug", "info", "warn", "error")
SMS_PROVIDERS = ("twilio", "sns", "console")
JWT_ALGORITHMS = ("HS256", "ES256", "EdDSA")
SECRETS = frozenset(
    "DATABASE_URL DATABASE_READ_URL REDIS_URL JWT_SECRET JWT_SECRET_PREVIOUS JWT_PRIVATE_KEY ADMIN_TOKEN METRICS_TOKEN "
    "TWILIO_AUTH_TOKEN TWILIO_AUTH_TOKEN_PREVIOUS SMTP_URL".split()
)


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
    database_read_url: str | None
    redis_url: str
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
    twilio: Twilio | None
    sns: Sns | None
    sms_providers: tuple[str, ...]
    sms_rates: Rates
    smtp: Smtp | None
    email_to_console: bool  # for development only
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


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings of `auth1 serve`.

    Raises ConfigurationError with every problem found.
    """
    env = Environment(environ, SECRETS)
    algorithm, signing_keys = _signing_keys(env)
    order = env.items("SMS_PROVIDERS", "", str.lower, "a provider")
    twilio, sns = _twilio(env), _sns(env, order)
    configured = tuple(name for name, account in (("twilio", twilio), ("sns", sns)) if account is not None)
    settings = Settings(
        database_url=env.url("DATABASE_URL", env.required("DATABASE_URL"), ("postgresql", "postgres")),
        database_read_url=env.url("DATABASE_READ_URL", env.text("DATABASE_READ_URL") or "", ("postgresql", "postgres"))
        or None,
        redis_url=env.url("REDIS_URL", env.required("REDIS_URL"), ("redis", "rediss", "unix")),
        jwt_secret=env.secret("JWT_SECRET", required=True) or "",
        jwt_secret_previous=env.secret("JWT_SECRET_PREVIOUS"),
        jwt_algorithm=algorithm,
        signing_keys=signing_keys,
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
        sms_rates=_sms_rates(env),
        smtp=_smtp(env),
        email_to_console=env.text("SMTP_URL") == CONSOLE,
        app_url=env.url("APP_URL", env.text("APP_URL", "http://localhost:3000") or "", ("https", "http")).rstrip("/"),
        app_url_is_set=env.text("APP_URL") is not None,
        cors_origins=env.items("CORS_ORIGINS", "*", _origin, "an origin like https://app.example.com, or *"),
        log_level=env.one_of("LOG_LEVEL", "info", LOG_LEVELS),
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
    env = Environment(environ, SECRETS)
    url = env.url("DATABASE_URL", env.required("DATABASE_URL"), ("postgresql", "postgres"))
    if env.problems:
        raise ConfigurationError(env.problems)
    return url


def _signing_keys(env: Environment) -> tuple[str, tuple[SigningKey, ...]]:
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


def _twilio(env: Environment) -> Twilio | None:
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


def _sns(env: Environment, order: tuple[str, ...]) -> Sns | None:
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


def _sms_providers(env: Environment, named: tuple[str, ...], configured: tuple[str, ...]) -> tuple[str, ...]:
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


def _sms_rates(env: Environment) -> Rates:
    own = env.text("SMS_RATES_FILE")
    try:
        return read_sms_rates(Path(own) if own else BUILT_IN)
    except ValueError as error:
        env.problems.extend(f"SMS_RATES_FILE: {problem}" for problem in error.args)
        return Rates({})


def _smtp(env: Environment) -> Smtp | None:
    url, sender = env.text("SMTP_URL"), env.text("EMAIL_FROM")
    if url == CONSOLE:
        return None
    if url is not None and sender is not None:
        try:
            return read_smtp_url(url, sender)
        except ValueError as error:
            env.problems.extend(error.args)
    elif url is not None or sender is not None:
        env.problems.append(f"{'EMAIL_FROM' if url else 'SMTP_URL'} must be set too: email needs both")
    return None


def _origin(item: str) -> str:
    if item != "*" and not re.fullmatch(r"https?://[a-z0-9.\-\[\]:]+", item):
        raise ValueError
    return item
