"""Compute the servers that a number of users needs: the cost of each operation times assumptions about users.

The assumptions are here, so that an operator can change them. Nothing in this file is measured.
"""

from collections.abc import Mapping

DAY_S = 86_400
USERS = (10_000, 1_000_000, 10_000_000, 100_000_000)
ACTIVE = 0.1  # part of the users that use an app on a day
LOGINS = 0.1  # of an active user and day: a session lasts for ten of the days on which it is used
REFRESHES = 10  # of an active user and day: an access token lasts for 15 minutes of use
PEAK = 4.0  # the busiest hour to the average
UTILIZATION = 0.5  # of a core at the peak: the rest is for failures and bursts

Costs = Mapping[str, Mapping[str, float]]  # CPU in ms, by operation and engine


def rates(users: int) -> dict[str, float]:
    """Return the operations per second at the peak."""
    active = users * ACTIVE / DAY_S * PEAK
    return {"login": active * LOGINS, "refresh": active * REFRESHES}


def cores(users: int, costs: Costs) -> dict[str, float]:
    """Return the cores that each engine needs at the peak."""
    return {
        engine: sum(rate * costs[operation][engine] for operation, rate in rates(users).items()) / 1000 / UTILIZATION
        for engine in costs["login"]
    }


def table(costs: Costs, wal_bytes: Mapping[str, float]) -> str:
    """Format the needs of each number of users."""
    engines = list(costs["login"])
    heads = ["users", "logins/s", "refreshes/s", *(f"{engine}, cores" for engine in engines), "WAL, MB/s"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for users in USERS:
        peak = rates(users)
        wal = sum(rate * wal_bytes[operation] for operation, rate in peak.items()) / 1e6
        numbers = [*peak.values(), *cores(users, costs).values(), wal]
        lines.append(
            f"| {users:,} | {' | '.join(f'{number:.2g}' if number < 10 else f'{number:,.0f}' for number in numbers)} |"
        )
    return "\n".join(lines)
