"""Load the login of a running server: request a code, read it, log in.

    AUTH1_KEY=auth1_pk_… AUTH1_CODES=http://127.0.0.1:20001 just load http://127.0.0.1:3000 50 60s --spawn-rate 50

AUTH1_KEY is an API key. AUTH1_CODES is the URL of the fake Twilio of `python -m bench.stage`: `GET /codes/{phone}`
returns the code of a number. The stage also starts a server with high limits, and prints both variables.

Another server has its normal limits. All requests come from one address, so RATE_LIMIT_MAX (100 an hour) soon rejects
them: raise it, or use a secret key (auth1_sk_…), which is exempt. A test key (auth1_test_…) needs no AUTH1_CODES,
because its codes are zeros, but its limit is 600 requests a minute. Each login uses another number. Numbers start again
in each process of locust, so use one process. Never use this with a server that sends through the real Twilio.
"""

import os
import secrets
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from locust import FastHttpUser, events, task

from bench import phones

KEY = os.environ.get("AUTH1_KEY", "")
CODES = os.environ.get("AUTH1_CODES", "")

_numbers = phones.phones(secrets.randbelow(phones.COUNT))  # a second run within the hour meets other numbers


@events.init.add_listener  # type: ignore[untyped-decorator]  # locust leaves it untyped
def check_environment(**_: Any) -> None:
    """Check the variables before the start."""
    if not KEY:
        raise SystemExit("AUTH1_KEY is not set: an API key of the server (bench/locustfile.py says more)")
    if not KEY.startswith("auth1_test_") and not CODES:
        raise SystemExit("AUTH1_CODES is not set: codes of a live key have to be read somewhere")


class Person(FastHttpUser):
    """A user that logs in repeatedly without a pause, each time with another number."""

    abstract = False

    def on_start(self) -> None:
        # Read outside of locust's own client, so that reading the phone is in no statistics.
        self.phone = HTTPConnection(urlsplit(CODES).netloc) if CODES else None

    @task
    def log_in(self) -> None:
        number = next(_numbers)
        headers = {"x-api-key": KEY}
        with self.client.post("/api/auth/request", json={"phone": number}, headers=headers) as requested:
            if requested.status_code != 200:
                return
            code = self._read(number) if self.phone else "0" * requested.json()["code_length"]
        self.client.post("/api/auth/verify", json={"phone": number, "code": code}, headers=headers)

    def _read(self, number: str) -> str:
        assert self.phone is not None
        self.phone.request("GET", f"/codes/{number}")
        return self.phone.getresponse().read().decode()
