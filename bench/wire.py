"""The requests of the benchmarks, as bytes for `client.Connection`."""

import json
from typing import NamedTuple


class Wire(NamedTuple):
    """Requests with an API key."""

    api_key: str

    def request(self, number: str) -> bytes:
        return self.post("/api/auth/request", {"phone": number})

    def verify(self, number: str, code: str) -> bytes:
        return self.post("/api/auth/verify", {"phone": number, "code": code})

    def refresh(self, refresh_token: str) -> bytes:
        return self.post("/api/auth/token", {"grant_type": "refresh_token", "refresh_token": refresh_token})

    def check(self, token: str) -> bytes:
        return get("/api/auth/me", **{"x-api-key": self.api_key, "authorization": f"Bearer {token}"})

    def log_out(self, token: str) -> bytes:
        return post("/api/auth/logout", {}, **{"x-api-key": self.api_key, "authorization": f"Bearer {token}"})

    def post(self, path: str, body: object) -> bytes:
        return post(path, body, **{"x-api-key": self.api_key})


def get(path: str, **headers: str) -> bytes:
    """Return a GET request."""
    return f"GET {path} HTTP/1.1\r\n{_lines(headers)}\r\n".encode()


def post(path: str, body: object, **headers: str) -> bytes:
    """Return a POST request with a JSON body."""
    text = json.dumps(body, separators=(",", ":"))
    length = {"content-type": "application/json", "content-length": str(len(text))}
    return f"POST {path} HTTP/1.1\r\n{_lines(length | headers)}\r\n{text}".encode()


def _lines(headers: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in ({"host": "localhost"} | headers).items())
