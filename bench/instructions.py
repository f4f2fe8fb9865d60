"""Count the instructions of the functions that `just bench` times, and compare them with a baseline.

    just instructions [--update] [--allowed 5] [--json FILE] [--only PATTERN]

It needs valgrind and a C compiler (Debian: valgrind, gcc). Callgrind counts the instructions of the group "alone", that
is, of functions that need no servers. A count does not depend on the load of the machine; two runs differ by less than
2 %, from random ids and the addresses of objects. PYTHONHASHSEED is 0 and the garbage collector is off. The warm-up is
subtracted: each function runs 10 and 110 times, and the difference counts.

The baseline (`bench/instructions.json`) is valid for one release of Python and one architecture: libraries and the
interpreter have their own instructions. With others, nothing is compared, and the status is 2. The status is 1 when a
function needs `--allowed` percent more instructions than its baseline, or has none. `--update` writes the baseline;
with `--only` it replaces the counts of these functions.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from bench.accounts import ROOT
from bench.callgrind import FEW, MANY

BASELINE = ROOT / "bench" / "instructions.json"
_PART = re.compile(
    r"^desc: Trigger: Client Request: ([\w\[\]-]+) (\d+)$.*?^(?:summary|totals): (\d+)", re.MULTILINE | re.DOTALL
)


class Counts(msgspec.Struct, frozen=True):
    """Instructions per call, by function."""

    python: str
    machine: str
    instructions: dict[str, int]


def count(only: str) -> Counts:
    """Run the functions under callgrind. Raises CalledProcessError where one fails."""
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary, "out")
        valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet", f"--callgrind-out-file={output}"]
        pytest = ["-m", "pytest", "bench", "--override-ini=addopts=", "--override-ini=timeout=0", "-q"]
        plugins = ["-p", "no:benchmark", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "bench.callgrind"]
        chosen = ["-k", only] if only else []
        environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
        command = [*valgrind, sys.executable, *pytest, *plugins, *chosen]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=sys.stderr)
        parts = [found for file in sorted(output.parent.glob("out*")) for found in _PART.findall(file.read_text())]
    totals = {(name, int(times)): int(total) for name, times, total in parts}
    names = sorted({name for name, _ in totals})
    each = {name: round((totals[name, MANY] - totals[name, FEW]) / (MANY - FEW)) for name in names}
    return Counts(platform.python_version(), platform.machine(), each)


def compare(counts: Counts, baseline: Counts, allowed: float) -> tuple[str, bool]:
    """Return a table, and whether no function needs clearly more instructions than before."""
    lines = [f"{'instructions per call':46}{'now':>12}{'baseline':>12}{'change':>9}"]
    passed = True
    for name, now in counts.instructions.items():
        before = baseline.instructions.get(name)
        change = (now / before - 1) * 100 if before else None
        regressed = change is None or change > allowed
        passed = passed and not regressed
        shown = f"{change:+8.1f}%" if change is not None else "      new"
        lines.append(f"{name:46}{now:12,}{before or 0:12,}{shown}{'  REGRESSION' if regressed else ''}")
    return "\n".join(lines), passed


def written(counts: Counts) -> bytes:
    """Return counts as a file has them."""
    return msgspec.json.format(msgspec.json.encode(counts), indent=2) + b"\n"


def run() -> int:
    """Count, compare and print; return the status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write the baseline")
    parser.add_argument(
        "--allowed", type=float, default=5.0, help="percent more than the baseline that is no regression"
    )
    parser.add_argument("--only", default="", help="count only functions that match (as pytest's -k)")
    parser.add_argument("--json", type=Path, help="write the counts to this file")
    options = parser.parse_args()
    counts = count(options.only)
    if options.json:
        options.json.write_bytes(written(counts))
    baseline = msgspec.json.decode(BASELINE.read_bytes(), type=Counts)
    if options.update:
        kept = baseline.instructions if options.only else {}
        baseline = msgspec.structs.replace(counts, instructions=dict(sorted((kept | counts.instructions).items())))
        BASELINE.write_bytes(written(baseline))
    table, passed = compare(counts, baseline, options.allowed)
    print(table)
    if (counts.python, counts.machine) != (baseline.python, baseline.machine):
        print(f"Not compared: the baseline is of Python {baseline.python} on {baseline.machine}.")
        return 2
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(run())
