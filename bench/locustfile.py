"""Load the whole API of a running server with locust.

    AUTH1_KEY=auth1_pk_… AUTH1_CODES=http://127.0.0.1:20001 just load http://127.0.0.1:3000 50 60s --spawn-rate 50

A user logs in, checks the session now and then, refreshes it, lists sessions, and logs out after a while. Variables:

    AUTH1_KEY      an API key
    AUTH1_CODES    the URL of the fake Twilio of `python -m bench.stage`: `GET /codes/{phone}` returns a code
    AUTH1_SECRET   optional: a secret key of the tenant. Backends introspect tokens and read users and statistics
    AUTH1_ADMIN    optional: ADMIN_TOKEN. Operators read tenants
    AUTH1_SHAPE    optional: steady, morning, launch or attack (`shapes.py`), with AUTH1_USERS users at its highest (50)
                   and AUTH1_SECONDS of length (300). Then --users and --run-time have no effect
    AUTH1_PACE     optional: requests per second of a user of an app, at most (default: no limit)
    AUTH1_FIRST    optional: where phone numbers start; each process needs its own

The stage also starts a server with high limits, and prints the variables. Another server has its normal limits. All
requests come from one address, so RATE_LIMIT_MAX (100 an hour) soon rejects them: raise it, or use a secret key
(auth1_sk_…), which is exempt. A test key (auth1_test_…) needs no AUTH1_CODES, because its codes are zeros, but its
limit is 600 requests a minute. Never use this with a server that sends through the real Twilio.
"""

import os
import secrets
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from locust import FastHttpUser, LoadTestShape, constant, constant_throughput, events, runners, task

from bench import phones, shapes

KEY = os.environ.get("AUTH1_KEY", "")
CODES = os.environ.get("AUTH1_CODES", "")
SECRET = os.environ.get("AUTH1_SECRET", "")
ADMIN = os.environ.get("AUTH1_ADMIN", "")
SHAPE = os.environ.get("AUTH1_SHAPE", "")
PACE = float(os.environ.get("AUTH1_PACE") or 0)

runners.HEARTBEAT_LIVENESS = 60  # a busy worker is not a lost one

STEP_S = 5.0  # a worker reports its users every three seconds; a change before that restarts its start of users

_numbers = phones.phones(int(os.environ.get("AUTH1_FIRST") or secrets.randbelow(phones.COUNT)))
_tokens: list[str] = []  # of the newest logins, for backends


@events.init.add_listener  # type: ignore[untyped-decorator]  # locust leaves it untyped
def check_environment(**_: Any) -> None:
    """Check the variables before the start."""
    if not KEY:
        raise SystemExit("AUTH1_KEY is not set: an API key of the server (bench/locustfile.py says more)")
    if not KEY.startswith("auth1_test_") and not CODES:
        raise SystemExit("AUTH1_CODES is not set: codes of a live key have to be read somewhere")
    if SHAPE and SHAPE not in shapes.SHAPES:
        raise SystemExit(f"AUTH1_SHAPE is none of {', '.join(shapes.SHAPES)}")


class Person(FastHttpUser):
    """A user of an app: logs in, and then uses the session, without a pause unless AUTH1_PACE sets one."""

    weight = 20
    abstract = False
    wait_time = constant_throughput(PACE) if PACE else constant(0)

    def on_start(self) -> None:
        # Read outside of locust's own client, so that reading the phone is in no statistics.
        self.phone = HTTPConnection(urlsplit(CODES).netloc) if CODES else None
        self.session: dict[str, str] = {}
        self.log_in()

    @task(4)
    def log_in(self) -> None:
        number = next(_numbers)
        headers = {"x-api-key": KEY}
        with self.client.post("/api/auth/request", json={"phone": number}, headers=headers) as requested:
            if requested.status_code != 200:
                return
            code = self._read(number) if self.phone else "0" * requested.json()["code_length"]
        body = {"phone": number, "code": code}
        with self.client.post("/api/auth/verify", json=body, headers=headers) as verified:
            if verified.status_code == 200:
                self.session = verified.json()
                _tokens.append(self.session["token"])
                del _tokens[:-100]

    @task(40)
    def check(self) -> None:
        if self.session:
            self.client.get("/api/auth/me", headers=self._bearer())

    @task(4)
    def refresh(self) -> None:
        if self.session:
            body = {"grant_type": "refresh_token", "refresh_token": self.session["refresh_token"]}
            with self.client.post("/api/auth/token", json=body, headers={"x-api-key": KEY}) as refreshed:
                self.session = refreshed.json() if refreshed.status_code == 200 else {}

    @task(2)
    def list_sessions(self) -> None:
        if self.session:
            self.client.get("/api/auth/me/sessions", headers=self._bearer())

    @task(1)
    def list_identifiers(self) -> None:
        if self.session:
            self.client.get("/api/auth/me/identifiers", headers=self._bearer())

    @task(1)
    def log_out(self) -> None:
        if self.session:
            self.client.post("/api/auth/logout", headers=self._bearer())
            self.session = {}

    def _bearer(self) -> dict[str, str]:
        return {"x-api-key": KEY, "authorization": f"Bearer {self.session['token']}"}

    def _read(self, number: str) -> str:
        assert self.phone is not None
        self.phone.request("GET", f"/codes/{number}")
        return self.phone.getresponse().read().decode()


class Backend(FastHttpUser):
    """A tenant's backend: introspects tokens, and its support reads users and statistics."""

    abstract = not SECRET
    weight = 4
    wait_time = constant_throughput(20)

    @task(40)
    def introspect(self) -> None:
        if _tokens:
            body = {"token": secrets.choice(_tokens)}
            self.client.post("/api/auth/introspect", json=body, headers={"x-api-key": SECRET})

    @task(2)
    def list_users(self) -> None:
        self._get("/api/tenant/users?limit=20")

    @task(1)
    def list_messages(self) -> None:
        self._get("/api/tenant/messages?limit=20")

    @task(1)
    def show_statistics(self) -> None:
        self._get("/api/tenant/statistics")

    def _get(self, path: str) -> None:
        self.client.get(path, headers={"x-api-key": SECRET}, name=path.partition("?")[0])


class Operator(FastHttpUser):
    """An operator: reads tenants, rarely."""

    abstract = not ADMIN
    weight = 1
    wait_time = constant_throughput(2)

    @task
    def list_tenants(self) -> None:
        self.client.get(
            "/api/admin/tenants?limit=20", headers={"authorization": f"Bearer {ADMIN}"}, name="/api/admin/tenants"
        )


class Attacker(FastHttpUser):
    """Guesses codes and keys. Its errors are expected, so they are successes under their own names."""

    abstract = SHAPE != "attack"
    weight = 50

    @task
    def guess_code(self) -> None:
        body = {"phone": "+12015550199", "code": f"{secrets.randbelow(10**6):06}"}
        self._attack("/api/auth/verify", body, KEY)

    @task
    def guess_key(self) -> None:
        self._attack("/api/auth/request", {"phone": "+12015550199"}, f"auth1_pk_{secrets.token_hex(12)}")

    @task
    def request_codes(self) -> None:
        self._attack("/api/auth/request", {"phone": "+12015550199"}, KEY)

    def _attack(self, path: str, body: dict[str, str], key: str) -> None:
        headers = {"x-api-key": key}
        with self.client.post(path, json=body, headers=headers, name=f"attack {path}", catch_response=True) as response:
            if response.status_code < 500:
                response.success()


class Shape(LoadTestShape):
    """The number of users over time, of the shape in AUTH1_SHAPE."""

    abstract = True
    shape: shapes.Shape = staticmethod(shapes.steady)

    def tick(self) -> tuple[int, float] | None:
        """Return the number of users now and how many start per second, or None at the end."""
        most, seconds = int(os.environ.get("AUTH1_USERS", "50")), float(os.environ.get("AUTH1_SECONDS", "300"))
        elapsed_s = self.get_run_time() // STEP_S * STEP_S  # type: ignore[no-untyped-call]  # locust leaves it untyped
        part = elapsed_s / seconds
        return (max(1, round(most * self.shape(part))), float(most)) if part < 1 else None


class Steady(Shape):
    """A constant number of users."""

    abstract = SHAPE != "steady"


class Morning(Shape):
    """The peak of a day."""

    abstract = SHAPE != "morning"
    shape = staticmethod(shapes.morning)


class Launch(Shape):
    """Fifty times the users within a second."""

    abstract = SHAPE != "launch"
    shape = staticmethod(shapes.launch)


class Attack(Shape):
    """A constant number of users, most of which are attackers."""

    abstract = SHAPE != "attack"
