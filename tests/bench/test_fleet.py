"""The parts of `just fleet` that need no servers: the plan of a fleet, and the reading of locust's files."""

from pathlib import Path

import pytest

from bench.fleet import plan
from bench.fleet.distributed import read_run

COSTS = {"login": {"Auth1": 4.0, "PostgreSQL": 2.0}, "refresh": {"Auth1": 1.0, "PostgreSQL": 0.5}}


def test_plan_multiplies_the_rates_at_the_peak_by_the_costs() -> None:
    rates = plan.rates(100_000_000)
    cores = plan.cores(100_000_000, COSTS)

    logins = 100_000_000 * plan.ACTIVE * plan.LOGINS / 86_400 * plan.PEAK
    assert rates["login"] == pytest.approx(logins)
    assert rates["refresh"] == pytest.approx(logins / plan.LOGINS * plan.REFRESHES)
    assert cores["Auth1"] == pytest.approx((rates["login"] * 4 + rates["refresh"]) / 1000 / plan.UTILIZATION)
    assert cores["Auth1"] == pytest.approx(2 * cores["PostgreSQL"])


def test_plan_has_a_row_for_each_number_of_users() -> None:
    lines = plan.table(COSTS, {"login": 2000.0, "refresh": 500.0}).splitlines()

    assert [line.split("|")[1].strip() for line in lines[2:]] == [f"{users:,}" for users in plan.USERS]
    assert len({line.count("|") for line in lines}) == 1


def test_run_of_locust_is_read_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "run_stats.csv").write_text(
        "Name,Request Count,Failure Count,50%,99%\n/api/auth/me,9,0,5,6\nAggregated,12,1,7,80\n"
    )
    (tmp_path / "run_stats_history.csv").write_text(
        "Timestamp,User Count,Name,Requests/s,Failures/s,50%,99%\n"
        "99,0,Aggregated,0.0,0.0,N/A,N/A\n100,1,Aggregated,0.0,0.0,N/A,N/A\n101,2,Aggregated,4.5,0.0,7,70\n101,2,/api/auth/me,4,0,7,70\n"
        "103,3,Aggregated,6.0,0.5,8,80\n"
    )

    run = read_run("steady", tmp_path)

    assert (run.requests, run.failures, run.p50_ms, run.p99_ms) == (12, 1, 7.0, 80.0)
    assert (run.seconds, run.users) == ([0.0, 1.0, 3.0], [1.0, 2.0, 3.0])
    assert (run.requests_per_s, run.failures_per_s) == ([0.0, 4.5, 6.0], [0.0, 0.0, 0.5])
    assert (run.p50s_ms, run.p99s_ms) == ([0.0, 7.0, 8.0], [0.0, 70.0, 80.0])
