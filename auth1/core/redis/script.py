"""The Lua scripts of `auth1/lua`."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.resources import files
from typing import NamedTuple

from auth1.core.telemetry import tracing

_names: dict[str, str] = {}  # of scripts, by digest


class Script(NamedTuple):
    """A Lua script of `auth1/lua`, called by its digest."""

    name: str
    text: bytes
    sha1: str

    @classmethod
    def load(cls, name: str, constants: Mapping[str, float | str] | None = None) -> "Script":
        """Read a script. Functions of `lua/shared` that its comment names (`-- Uses`) follow the comment.

        `constants` that the script mentions become its local variables.
        """
        directory = files("auth1").joinpath("lua")
        source = directory.joinpath(f"{name}.lua").read_text(encoding="utf-8")
        comment = source[: re.search(r"^(?!--)", source, re.MULTILINE).start()]  # type: ignore[union-attr]  # it ends
        used = re.search(r"^-- Uses +(.+)$", comment, re.MULTILINE)
        shared = [
            directory.joinpath("shared", f"{one}.lua").read_text(encoding="utf-8")
            for one in (used[1].split(", ") if used else ())
        ]
        body = "".join([*shared, source[len(comment) :]])
        literals = [
            f"local {constant} = {value!r}\n"
            for constant, value in (constants or {}).items()
            if re.search(rf"\b{constant}\b", body)
        ]
        text = "".join([comment, *literals, body]).encode()
        sha1 = hashlib.sha1(text, usedforsecurity=False).hexdigest()
        _names[sha1] = name
        return cls(name, text, sha1)


def command_span(words: Sequence[str | bytes | int]) -> AbstractContextManager[object]:
    """Open the span of a command, named by the command or the script."""
    if tracing.tracer() is None:
        return tracing.OFF
    operation = str(words[0])
    name = _names.get(str(words[1]), operation) if operation == "EVALSHA" else operation
    return tracing.span(f"redis {name}", "client", {"db.system.name": "redis", "db.operation.name": operation})
