"""Measure the fraud rules on simulated attacks.

    just fraud                        all worlds on Redis and PostgreSQL, each rule off in turn, each signal
    just fraud --quick                six small worlds
    just fraud --world spread         one attack or honest event only

`--python` runs the pure functions instead of the Lua scripts. `--constant NAME=VALUE` changes a figure of
auth1/fraud/constants.py. Exits 1 where a goal is missed.
"""

import argparse
import importlib
import sys
from pathlib import Path

from auth1.fraud import constants


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="just fraud", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="six small worlds, in some seconds")
    parser.add_argument("--world", action="append", help="an attack or honest event; repeat for several")
    parser.add_argument("--only", choices=["worlds", "ablation", "signals"], help="one part of three")
    parser.add_argument("--python", action="store_true", help="pure functions instead of Lua on Redis")
    parser.add_argument("--seed", type=int, action="append", help="seed of the worlds (1); repeat for several")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--saved", type=Path, help="append figures to this file; do not measure again what it has")
    parser.add_argument("--constant", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--svg", type=Path, help="plot the money lost in the attack on 60 countries")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file")
    return parser.parse_args(arguments)


def main() -> int:
    """Change constants before the rules are imported, then run."""
    options = parse()
    for assignment in options.constant:
        name, _, value = assignment.partition("=")
        setattr(constants, name, type(getattr(constants, name))(value))
        numbers = getattr(constants, "NUMBERS", None)
        if isinstance(numbers, dict) and name in numbers:
            numbers[name] = getattr(constants, name)
    result: int = importlib.import_module("bench.fraud.command").run(options)
    return result


if __name__ == "__main__":
    sys.exit(main())
