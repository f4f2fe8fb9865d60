"""Other login services that `bench.compare` measures beside Auth1, and how to log in to each.

They run in one process each, on the same PostgreSQL and Redis, configured as their documentation advises, with high
rate limits. Each prints its codes; so does Auth1 with the console provider. `just bench-peers` installs them into
`.bench/`. `includes` and `omits` say what each does for a login, compared with Auth1.
"""

import json
import os
import secrets
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from bench.accounts import ROOT
from bench.client import Response

HERE = Path(__file__).parent
INSTALLED = ROOT / ".bench"
ADDRESS = "192.0.2.1"  # better-auth reads the client address from a header only
DATABASES = ("better_auth", "better_auth_redis", "fastapi", "allauth")
PYTHON = INSTALLED / "venv" / "bin"


def post(path: str, body: Mapping[str, str], **headers: str) -> bytes:
    """Return the bytes of a POST request with JSON."""
    content = json.dumps(body)
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"{lines}content-length: {len(content)}\r\n\r\n{content}"
    ).encode()


def get(path: str, **headers: str) -> bytes:
    """Return the bytes of a GET request."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n".encode()


@dataclass
class Peer(ABC):
    """A service with three requests: request a code, verify it, check the session.

    `requested` and `verified` take from a response what the next request needs.
    """

    name: str
    includes: str
    omits: str
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Sequence[str] = ()  # a command that creates the tables
    request_status: ClassVar[int] = 200

    @abstractmethod
    def request(self, number: str) -> bytes: ...

    def requested(self, response: Response) -> str:
        return ""

    @abstractmethod
    def verify(self, number: str, code: str, requested: str) -> bytes: ...

    @abstractmethod
    def verified(self, response: Response) -> str: ...

    @abstractmethod
    def check(self, verified: str) -> bytes: ...


class Auth1(Peer):
    """Auth1, by a publishable key of one tenant."""

    api_key: str = ""

    def request(self, number: str) -> bytes:
        return post("/api/auth/request", {"phone": number}, x_api_key=self.api_key)

    def verify(self, number: str, code: str, requested: str) -> bytes:
        return post("/api/auth/verify", {"phone": number, "code": code}, x_api_key=self.api_key)

    def verified(self, response: Response) -> str:
        return str(response.json()["token"])

    def check(self, verified: str) -> bytes:
        return get("/api/auth/me", x_api_key=self.api_key, authorization=f"Bearer {verified}")


class FastApi(Peer):
    """The FastAPI service of this folder."""

    def request(self, number: str) -> bytes:
        return post("/request", {"phone": number})

    def verify(self, number: str, code: str, requested: str) -> bytes:
        return post("/verify", {"phone": number, "code": code})

    def verified(self, response: Response) -> str:
        return str(response.json()["token"])

    def check(self, verified: str) -> bytes:
        return get("/me", authorization=f"Bearer {verified}")


class BetterAuth(Peer):
    """better-auth; the session is a signed cookie."""

    def request(self, number: str) -> bytes:
        return post("/api/auth/phone-number/send-otp", {"phoneNumber": number}, x_forwarded_for=ADDRESS)

    def verify(self, number: str, code: str, requested: str) -> bytes:
        body = {"phoneNumber": number, "code": code}
        return post("/api/auth/phone-number/verify", body, x_forwarded_for=ADDRESS)

    def verified(self, response: Response) -> str:
        return response.header("set-cookie").partition(";")[0]

    def check(self, verified: str) -> bytes:
        return get("/api/auth/get-session", cookie=verified, x_forwarded_for=ADDRESS)


class Allauth(Peer):
    """django-allauth headless for apps: a sign-up by phone, verified by code."""

    request_status: ClassVar[int] = 401  # "signed up, verification is pending"

    def request(self, number: str) -> bytes:
        return post("/_allauth/app/v1/auth/signup", {"phone": number})

    def requested(self, response: Response) -> str:
        return str(response.json()["meta"]["session_token"])

    def verify(self, number: str, code: str, requested: str) -> bytes:
        return post("/_allauth/app/v1/auth/phone/verify", {"code": code}, x_session_token=requested)

    def verified(self, response: Response) -> str:
        return str(response.json()["meta"]["session_token"])

    def check(self, verified: str) -> bytes:
        return get("/_allauth/app/v1/auth/session", x_session_token=verified)


def auth1(environment: Mapping[str, str], name: str, provider: str) -> Peer:
    """Return Auth1 as one worker, with all features on."""
    return Auth1(
        name,
        includes=f"tenants, four kinds of limits, events, outbox, metrics, logs; SMS by {provider}",
        omits="nothing: the settings are the defaults, with higher limits",
        command=(sys.executable, "-m", "auth1", "serve"),
        environment={**environment, "WORKERS": "1"},
    )


def others(postgres_url: str, redis_url: str) -> list[Peer]:
    """Return the other services. Each needs its own database and number of a Redis database."""
    database = urlsplit(postgres_url)
    redis_base = redis_url.rpartition("/")[0]
    secret = {"SECRET": secrets.token_hex(32), "PATH": os.environ["PATH"], "PYTHONPATH": str(HERE)}

    def postgres(name: str, scheme: str = "postgresql") -> str:
        return f"{scheme}://{database.netloc}/{name}"

    django = {
        "PGHOST": database.hostname or "",
        "PGPORT": str(database.port),
        "PGUSER": database.username or "",
        "PGDATABASE": "allauth",
        "REDIS_URL": f"{redis_base}/2",
    }
    node = ("node", str(INSTALLED / "node" / "better_auth.mjs"))
    omits = "tenants, several limits at once, failover, outbox, events, fraud rules, metrics"
    return [
        BetterAuth(
            "better-auth",
            "attempts per code, one limit by address in memory",
            f"{omits}; refresh tokens and JWTs",
            node,
            {**secret, "DATABASE_URL": postgres("better_auth")},
        ),
        BetterAuth(
            "better-auth with Redis",
            "attempts per code, one limit by address, sessions and codes in Redis only",
            f"{omits}; refresh tokens and JWTs; codes and sessions in PostgreSQL",
            node,
            {**secret, "DATABASE_URL": postgres("better_auth_redis"), "REDIS_URL": f"{redis_base}/1"},
        ),
        FastApi(
            "FastAPI + SQLAlchemy",
            "attempts per code, limits by phone and address, JWTs, sessions in both stores",
            f"{omits}; refresh tokens",
            (
                str(PYTHON / "uvicorn"),
                "--no-access-log",
                "--timeout-keep-alive",
                "60",
                "fastapi_service:app",
                "--port",
                "{port}",
            ),
            {**secret, "DATABASE_URL": postgres("fastapi", "postgresql+asyncpg"), "REDIS_URL": f"{redis_base}/3"},
        ),
        Allauth(
            "django-allauth headless",
            "attempts per code, a limit by phone, sessions in PostgreSQL and Redis",
            f"{omits}; refresh tokens and JWTs",
            (
                *(str(PYTHON / "gunicorn"), "--workers", "1", "--worker-class", "gthread", "--threads", "8"),
                *("--keep-alive", "60", "--bind", "127.0.0.1:{port}", "allauth_service:application"),
            ),
            {**secret, **django},
            prepare=(str(PYTHON / "python"), "-m", "allauth_service", "migrate", "--verbosity", "0"),
        ),
    ]
