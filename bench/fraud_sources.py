"""Measure the files of the fraud rules: compile time, memory of a worker, CPU of a look-up.

    python -m bench.fraud_sources --entries 1000000

Prefixes have 7 or 8 digits and networks are a /24 to /32 of IPv4, or a /48 of IPv6: all random, which is the worst
case for memory and for the processor's caches. A worker
keeps the compiled bytes as they are, so their size is its memory.
"""

import argparse
import ipaddress
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from auth1.fraud.datasets.disposable import is_disposable
from auth1.fraud.datasets.networks import AddressRanges, compile_networks
from auth1.fraud.line_types.prefixes import Prefixes, compile_prefixes
from auth1.fraud.line_types.types import LINE_TYPES

LOOK_UPS = 20_000
MIB = 1024 * 1024


class Cost(NamedTuple):
    """The cost of a dataset."""

    entries: int
    compile_s: float
    memory_mib: float
    micros: float  # of a look-up


def micros_of(look_up: Callable[[Any], object], values: list[Any]) -> float:
    """Return the CPU time of one look-up."""
    started = time.process_time()
    for value in values:
        look_up(value)
    return (time.process_time() - started) / len(values) * 1e6


def prefixes(entries: int) -> Iterator[str]:
    """Return the lines of a file without repeated prefixes."""
    numbers = random.sample(range(1_000_000, 1_000_000 + 40 * entries), entries)
    return (f"{number},{LINE_TYPES[number % 4]}" for number in numbers)


def networks(entries: int, *, is_ipv6: bool) -> Iterator[str]:
    """Return the lines of a file."""
    for _ in range(entries):
        if is_ipv6:
            yield f"{ipaddress.IPv6Address((0x2001 << 112) + (random.getrandbits(32) << 80))}/48"
        else:
            length = random.randint(24, 32)
            yield f"{ipaddress.IPv4Address(random.getrandbits(length) << 32 - length)}/{length}"


def measure(
    lines: Iterator[str],
    compile_lines: Callable[[Iterator[str]], tuple[int, bytes]],
    load: Callable[[bytes], Callable[[Any], object]],
    values: list[Any],
) -> Cost:
    """Compile and load a file, then look values up."""
    started = time.process_time()
    entries, data = compile_lines(lines)
    compile_s = time.process_time() - started
    return Cost(entries, compile_s, len(data) / MIB, micros_of(load(data), values))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--entries", type=int, default=1_000_000)
    entries: int = options.parse_args().entries
    random.seed(1)
    phones = [f"+{random.randint(10**10, 10**11 - 1)}" for _ in range(LOOK_UPS)]
    ipv4 = [ipaddress.IPv4Address(random.getrandbits(32)) for _ in range(LOOK_UPS)]
    ipv6 = [ipaddress.IPv6Address((0x2001 << 112) + random.getrandbits(112)) for _ in range(LOOK_UPS)]

    def load_networks(data: bytes) -> Callable[[Any], object]:
        return AddressRanges(data).__contains__

    rows = {
        "prefixes": measure(prefixes(entries), compile_prefixes, lambda data: Prefixes(data).find, phones),
        "IPv4 networks": measure(networks(entries, is_ipv6=False), compile_networks, load_networks, ipv4),
        "IPv6 networks": measure(networks(entries, is_ipv6=True), compile_networks, load_networks, ipv6),
    }
    print(f"{'':16} {'entries':>10} {'compile':>9} {'memory':>11} {'look-up':>10}")
    for name, cost in rows.items():
        memory = f"{cost.memory_mib:.1f} MiB"
        print(f"{name:16} {cost.entries:>10,} {cost.compile_s:>7.1f} s {memory:>11} {cost.micros:>7.2f} µs")
    emails = [f"a@mail.example{number}.com" for number in range(LOOK_UPS)]
    print(f"{'disposable email':16} {'':10} {'':9} {'':11} {micros_of(is_disposable, emails):>7.2f} µs")


if __name__ == "__main__":
    main()
