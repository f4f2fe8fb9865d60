"""Run the program's own statements by pgbench: prepared, one row each, without anything around them.

pgbench is part of PostgreSQL's wheel, or of Debian's postgresql-contrib. Its scripts call the functions of this
checkout with the arguments of `sql_cost.new_login`; ids are made from the number of the transaction, and increase.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from auth1.core.ids import new_id
from auth1.core.postgres.functions import functions
from auth1.dev.postgres import find_programs
from bench.sql_cost import STEPS, new_login

CLIENTS = 16
CALLS = STEPS | {"find_sessions": "find_session"}
_TPS = re.compile(r"^tps = ([\d.]+) ", re.MULTILINE)


def program() -> str:
    """Find pgbench. Raises FileNotFoundError."""
    found = shutil.which("pgbench", path=str(find_programs())) or shutil.which("pgbench")
    if found is None:
        raise FileNotFoundError("pgbench is not installed (Debian: apt install postgresql-contrib)")
    return found


class Scripts:
    """The scripts of a run: `request` opens and records, `verify` submits their codes, `check` finds sessions."""

    def __init__(self, tenant_id: str, folder: Path) -> None:
        self._folder = folder
        self._time = new_id("evt")[4:14]  # the part of an id that is its time, so that events are in their partition
        self._login = new_login() | {"tenant_id": tenant_id, "deadline": "infinity"}
        opened, recorded, submitted, found = (
            self._call(function, type_name, number) for number, (function, type_name) in enumerate(CALLS.items())
        )
        self.texts = {"request": opened + recorded, "verify": submitted, "check": found}

    def run(self, name: str, url: str, base: int, transactions: int) -> float:
        """Run a script once per transaction from `base` on; return the transactions per second."""
        script = self._folder / f"{name}.pgbench"
        counter = f"\\set i :i + 1\n\\set n :base + :i * {CLIENTS} + :client_id\n"
        script.write_text(counter + self.texts[name])
        parts = urlsplit(url)
        address = ["-h", str(parts.hostname), "-p", str(parts.port), "-U", str(parts.username), parts.path[1:]]
        clients = ["-c", str(CLIENTS), "-j", "1", "-t", str(transactions // CLIENTS)]
        command = [program(), "-n", "-M", "prepared", *clients, "-D", "i=0", "-D", f"base={base}", "-f", str(script)]
        done = subprocess.run([*command, *address], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        found = _TPS.search(done.stdout)
        assert found is not None
        return float(found[1])

    def _call(self, function: str, type_name: str, step: int) -> str:
        schema = functions().schema
        numbered = {
            "identifier": "'+1' || lpad(:n::text, 11, '0')",
            "provider_message_id": "'SM' || lpad(:n::text, 32, '0')",
            **{field: self._id(prefix, 0) for field, prefix in _IDS.items()},
            "event_id": self._id("evt", step),
            "budget_event_id": self._id("evt", 8),
            "user_event_id": self._id("evt", 9),
        }
        fields = functions().types[type_name]
        values = [numbered[name] if name in numbered else _literal(self._login.get(name)) for name in fields]
        return f"select * from {schema}.{function}(array[row({', '.join(values)})::{schema}.{type_name}]);\n"

    def _id(self, prefix: str, step: int) -> str:
        return f"'{prefix}_{self._time}' || lpad(:n::text, 15, '0') || '{step}'"


_IDS = {"challenge_id": "ch", "message_id": "msg", "new_user_id": "usr", "session_id": "ses"}


def _literal(value: Any) -> str:
    """Return an SQL literal."""
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'"
    if isinstance(value, datetime):
        return f"'{value.isoformat()}'"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"array[{', '.join(f'{_literal(one)}::bytea' for one in value)}]" if value else "'{}'"
    return "'" + str(value).replace("'", "''") + "'"
