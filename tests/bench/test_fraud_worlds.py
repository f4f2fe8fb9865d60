"""The simulated worlds of `bench.fraud`, and the defences that the fraud rules are compared with."""

from dataclasses import replace
from itertools import pairwise

import pytest

from bench.fraud.attackers import ATTACKS
from bench.fraud.defences import Authgear, BlockLimit, Defence, Undefended
from bench.fraud.play import Limits, Outcome, Play
from bench.fraud.scenarios import Setting, World, build
from bench.fraud.world import DAY, HONEST, NEVER, address_text, phone_text

SMALL = Setting("quiet", logins=200, warm_up=DAY, days=0.5)


async def outcome_of(world: World, defence: Defence, limits: Limits | None = None) -> Outcome:
    return await Play(world, defence, limits).run()


@pytest.mark.parametrize("attack", ATTACKS)
def test_same_setting_builds_same_world_with_each_attack(attack: str) -> None:
    setting = replace(SMALL, event=attack)

    world = build(setting)

    assert world.requests == build(setting).requests
    assert {request.source for request in world.requests} == {HONEST, attack}
    assert all(before.time <= after.time for before, after in pairwise(world.requests))


def test_numbers_and_addresses_are_fictional() -> None:
    request = build(SMALL).requests[0]

    assert phone_text(request).startswith("+999")
    assert len(phone_text(request)) == 15
    assert address_text(request.address).startswith("3fff:")


async def test_without_defence_every_message_of_an_attack_is_sent() -> None:
    outcome = await outcome_of(build(replace(SMALL, event="one_block")), Undefended())

    assert outcome.attack.sent == outcome.attack.requests > 2000
    assert outcome.attack.money == sum(price for _, price in outcome.sent_at)


async def test_block_limit_stops_one_block_and_rejects_no_honest_visit() -> None:
    outcome = await outcome_of(build(replace(SMALL, event="one_block")), BlockLimit(), Limits(releases=False))

    assert outcome.attack.sent < 300
    assert not outcome.honest.rejected


async def test_authgear_formula_stops_most_of_an_attack_on_one_country() -> None:
    outcome = await outcome_of(build(replace(SMALL, event="range_fast")), Authgear(), Limits(releases=False))

    assert outcome.attack.sent <= 20 * 2


async def test_right_codes_release_the_address_limit() -> None:
    world = build(replace(SMALL, event="launch", logins=2000, days=0.3))

    kept = await outcome_of(world, Undefended(), Limits(releases=False))
    released = await outcome_of(world, Undefended(), Limits(releases=True))

    assert len(released.honest.limited) <= len(kept.honest.limited)
    assert released.first_rejection == NEVER
