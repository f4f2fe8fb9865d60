"""Takes variables of the environment one by one, and collects what is wrong with them.

A secret may come as `NAME_FILE`, the path of a file that holds it. An empty variable counts as unset.
"""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

Item = TypeVar("Item")

SAMPLE_SECRETS = {"your-256-bit-secret-here", "your_twilio_token", "your_auth_token_here"}  # printed in guides
MIN_SECRET_BYTES = 32  # HS256 wants a key as long as its hash (RFC 7518, 3.2)


class Environment:
    """Takes variables one by one and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str], secrets: Collection[str]) -> None:
        self._environ = environ
        self._secrets = secrets
        self.problems: list[str] = []

    def text(self, name: str, default: str | None = None, *, lines: bool = False) -> str | None:
        value = self._environ.get(name, "").strip()
        path = self._environ.get(f"{name}_FILE", "").strip() if name in self._secrets else ""
        if value and path:
            self.problems.append(f"{name} and {name}_FILE are both set; keep one")
        elif path:
            try:
                value = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                self.problems.append(f"{name}_FILE cannot be read: {error}")
        if "\0" in value or ("\n" in value and not lines):
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

    def one_of(self, name: str, default: str, values: tuple[str, ...]) -> str:
        value = (self.text(name, default) or default).lower()
        if value not in values:
            self.problems.append(f"{name} must be one of {', '.join(values)}")
        return value
