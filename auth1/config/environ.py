"""Read variables of the environment one by one, and collect the problems.

A secret may come as `NAME_FILE`, the path of a file that contains it. An empty variable counts as unset. Every problem
is one sentence that begins with the name of the variable and says what to do.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from auth1.config import urls

Item = TypeVar("Item")

SAMPLE_SECRETS = {"your-256-bit-secret-here", "your_twilio_token", "your_auth_token_here"}  # printed in guides
MIN_SECRET_BYTES = 32  # HS256 needs a key as long as its hash (RFC 7518, 3.2)
SECRET_COMMAND = "openssl rand -hex 32"  # noqa: S105  # how to generate one
REQUIRED_EXAMPLES = {
    "DATABASE_URL": "for example postgresql://auth1:password@localhost:5432/auth1_db",
    "REDIS_URL": "for example redis://localhost:6379",
    "JWT_SECRET": f"generate one: {SECRET_COMMAND}",
}


class Environment:
    """Read variables one by one and collect the problems."""

    def __init__(self, environ: Mapping[str, str], secrets: Collection[str]) -> None:
        self._environ = environ
        self._secrets = secrets
        self.problems: list[str] = []

    def text(self, name: str, default: str | None = None, *, lines: bool = False) -> str | None:
        """Return a variable without surrounding space, or the default."""
        value = self._environ.get(name, "").strip()
        path = self._environ.get(f"{name}_FILE", "").strip() if name in self._secrets else ""
        if value and path:
            self.problems.append(f"{name} and {name}_FILE are both set; keep one")
        elif path:
            value = self._read_file(f"{name}_FILE", path)
        if "\0" in value or (re.search(r"[\r\n]", value) and not lines):
            self.problems.append(f"{name} must be one line")
        elif len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            self.problems.append(f"{name} is in quotation marks; remove them (docker --env-file keeps them)")
        return value or default

    def required(self, name: str) -> str:
        """Return a variable that must be set."""
        value = self.text(name)
        if value is None and not any(problem.startswith(name) for problem in self.problems):
            example = REQUIRED_EXAMPLES.get(name)
            self.problems.append(f"{name} is required{f': {example}' if example else ''}")
        return value or ""

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number within bounds."""
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,12}", value, re.ASCII) or not low <= int(value) <= high:
            self.problems.append(f"{name} must be a whole number from {low} to {high}")
            return default
        return int(value)

    def dollars(self, name: str, default: float, high: float) -> float:
        """Return a sum of US dollars."""
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,6})?", value, re.ASCII) or float(value) > high:
            self.problems.append(f"{name} must be a number of dollars from 0 to {high:g}, such as 12.50")
            return default
        return float(value)

    def switch(self, name: str, *, default: bool) -> bool:
        """Return a variable that is `on` or `off`, in one of the usual spellings."""
        value = (self.text(name) or ("on" if default else "off")).lower()
        if value not in ("on", "off", "true", "false", "1", "0"):
            self.problems.append(f"{name} must be on or off")
        return value in ("on", "true", "1")

    def secret(self, name: str, *, required: bool = False) -> str | None:
        """Return a secret of at least 32 bytes."""
        value = self.required(name) if required else self.text(name)
        if not value:
            return None
        if value in SAMPLE_SECRETS:
            self.problems.append(f"{name} is the sample from the guide; generate your own: {SECRET_COMMAND}")
        elif len(value.encode()) < MIN_SECRET_BYTES:
            self.problems.append(f"{name} is shorter than {MIN_SECRET_BYTES} bytes; generate one: {SECRET_COMMAND}")
        return value

    def bearer_token(self, name: str) -> str | None:
        """Return a token that clients send in a header, so in printable ASCII."""
        value = self.text(name)
        if value in SAMPLE_SECRETS:
            self.problems.append(f"{name} is the sample from the guide; generate your own: {SECRET_COMMAND}")
        elif value is not None and not (value.isascii() and value.isprintable()):
            self.problems.append(f"{name} must be printable ASCII, because it is sent in a header: {SECRET_COMMAND}")
        return value

    def checked(self, name: str, value: str | None, check: Callable[[str], Iterable[str]]) -> str:
        """Return a value, after adding its problems to the others under the variable's name."""
        if value:
            self.problems.extend(f"{name} {problem}" for problem in check(value))
        return value or ""

    def web_url(self, name: str, default: str = "") -> str:
        """Return an http or https URL without query, fragment and slash at the end."""
        before = len(self.problems)
        url = self.checked(name, self.text(name, default), urls.web_url_problems)
        return urls.normalised_web_url(url) if url and len(self.problems) == before else url

    def items(self, name: str, default: str, parse: Callable[[str], Item]) -> tuple[Item, ...]:
        """Return the items of a comma-separated list. `parse` raises ValueError with what is wrong with one."""
        items: list[Item] = []
        for item in filter(None, map(str.strip, (self.text(name, default) or "").split(","))):
            try:
                items.append(parse(item))
            except ValueError as error:
                self.problems.append(f"{name}: {item!r} {error}")
        return tuple(items)

    def one_of(self, name: str, default: str, values: tuple[str, ...]) -> str:
        """Return one of some words, in lower case."""
        value = (self.text(name, default) or default).lower()
        if value not in values:
            self.problems.append(f"{name} must be one of {', '.join(values)}")
            return default
        return value

    def _read_file(self, name: str, path: str) -> str:
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            self.problems.append(f"{name}={path} cannot be read: {reason}")
            return ""
        if not value:
            self.problems.append(f"{name}={path} is empty")
        return value
