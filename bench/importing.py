"""Measure the speed and memory of imports and exports by the command line.

    python -m bench.importing [--users 100000] [--format ndjson|csv]

Real PostgreSQL with fsync on this machine. Memory is the resident set of the command, sampled while it works: flat when
the first quarter needs as much as the last.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from bench import stage


class Run(NamedTuple):
    """A command that ended: how long it took, and its memory meanwhile in MiB."""

    seconds: float
    memory: list[float]
    out: str
    err: str


def write_users(path: Path, count: int, form: str) -> None:
    """Write a file of users, each with a fictional phone, an email, a name and metadata.

    There are too few such phones: the other users have an email only.
    """
    chance = random.Random(1)
    with path.open("w") as file:
        if form == "csv":
            file.write("email,phone,external_id,metadata\n")
        for n in range(count):
            phone = f"+1{201 + n // 100}55501{n % 100:02d}" if n < 29_900 else None
            plan = chance.choice(("free", "pro", "team"))
            if form == "csv":
                file.write(f'{n}@example.com,{phone or ""},ext-{n},"{{""plan"": ""{plan}""}}"\n')
            else:
                row = {
                    "email": f"{n}@example.com",
                    "phone": phone,
                    "external_id": f"ext-{n}",
                    "metadata": {"plan": plan},
                }
                file.write(json.dumps(row) + "\n")


def run(environment: dict[str, str], *arguments: str) -> Run:
    """Run `auth1 …`, and sample its memory twenty times a second."""
    started, memory = time.perf_counter(), []
    process = subprocess.Popen(
        [sys.executable, "-m", "auth1", *arguments],
        env={**environment, "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        memory += [int(found[1]) / 1024] if found else []
        time.sleep(0.05)
    out, err = process.communicate()
    return Run(time.perf_counter() - started, memory, out, err)


def show(name: str, count: int, ended: Run) -> None:
    """One line of figures."""
    quarter = max(len(ended.memory) // 4, 1)
    first, last = max(ended.memory[quarter : 2 * quarter]), max(ended.memory[-quarter:])
    print(
        f"{name:8} {count:,} users in {ended.seconds:.1f} s: {count / ended.seconds:,.0f} a second; resident memory"
        f" peak {max(ended.memory):.0f} MiB, second quarter {first:.0f}, last quarter {last:.0f}   {ended.out.strip()}"
    )


def measure(count: int, form: str) -> None:
    """Import into an empty tenant, import again, and export."""
    with stage.set_up() as set_up:
        environment = dict(set_up.environment)
        made = run(environment, "tenants", "create", "Bench", "--slug", "bench", "--json")
        assert "tenant_id" in made.out, made.err
        file = set_up.directory / f"users.{form}"
        write_users(file, count, form)
        print(f"{file.stat().st_size / 1024 / 1024:.1f} MiB of {form}")
        imported = run(environment, "users", "import", "--tenant", "bench", str(file))
        print(imported.err.strip().splitlines()[-1])
        show("import", count, imported)
        show("again", count, run(environment, "users", "import", "--tenant", "bench", str(file)))
        show("export", count, run(environment, "users", "export", "--tenant", "bench", f"{file}.out"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.importing", description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--format", choices=("ndjson", "csv"), default="ndjson")
    chosen = parser.parse_args()
    measure(chosen.users, chosen.format)
