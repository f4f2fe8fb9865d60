"""Measure the parts of a login separately (`just bench`).

All numbers are CPU, not time: of this process and, except in the group "alone", of PostgreSQL and Valkey. So other load
on the machine disturbs them less than times. Compare medians, and only within one run. Calls on the event loop include
its start and stop, some 15 µs.

    just bench -k phone        phone numbers; no servers are started
    just bench -k challenge    the two statements
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from auth1 import api_keys
from auth1.challenges import codes, store
from auth1.challenges.messages import Envelope, TextCache, render_code
from auth1.challenges.schemas import CodeRequest
from auth1.challenges.store import OpenChallenge, SubmitCode
from auth1.core import schemas
from auth1.core.crypto import Keyring, digest
from auth1.core.http import problems
from auth1.core.http.bodies import decode_json
from auth1.core.http.router import Router
from auth1.core.ids import new_id
from auth1.core.ratelimit import RateLimit
from auth1.errors import InvalidCode
from auth1.events.log import EventContext
from auth1.identifiers import Channel, parse_by_phonenumbers, parse_phone
from auth1.routes import ROUTES
from auth1.sessions.create import NewSession
from auth1.sessions.tokens import Signer, Subject
from auth1.tenants.settings import Tenant, TenantSettings
from bench.accounts import cpu_of_all
from bench.conftest import Run
from bench.inside import Inside

ROUNDS = 20
CALLS = 25  # a round
PREPARED = (ROUNDS + 1) * CALLS + 1  # for a warm-up round, and the one call that pytest-benchmark makes in the end

TENANT = new_id("tn")
PHONE = "+12025550100"
CALLER = Tenant(
    id=TENANT,
    name="Bench",
    settings=TenantSettings(),
    jwt_version=1,
    suspended=False,
    key_id=new_id("key"),
    key_kind="pk",
    allowed_origins=(),
    key_expires_at=None,
)

alone = pytest.mark.benchmark(group="alone", timer=time.process_time, min_time=0.001)
trips = pytest.mark.benchmark(group="round trips", timer=cpu_of_all)
fifty = pytest.mark.benchmark(group="fifty slots", timer=cpu_of_all)
whole = pytest.mark.benchmark(group="whole calls", timer=cpu_of_all)


@pytest.fixture(scope="module")
def keyring() -> Keyring:
    return Keyring("a secret that only the benchmarks know")


@pytest.fixture(scope="module")
def signer(keyring: Keyring) -> Signer:
    return Signer(keyring, "HS256", (), "http://localhost:3000")


# --- alone: without servers


@alone
def test_know_and_digest_an_api_key(benchmark: BenchmarkFixture) -> None:
    key = api_keys.make("pk", "myapp").text
    assert benchmark(lambda: api_keys.kind_of(key) and digest(key))


@alone
def test_parse_a_phone_number(benchmark: BenchmarkFixture, numbers: Iterator[str]) -> None:
    for _ in range(1000):  # patterns of the metadata are compiled when they are met
        parse_phone(next(numbers))
    assert benchmark(lambda: parse_phone(next(numbers)))


@alone
def test_parse_a_phone_number_by_phonenumbers(benchmark: BenchmarkFixture, numbers: Iterator[str]) -> None:
    for _ in range(1000):
        parse_by_phonenumbers(next(numbers))
    assert benchmark(lambda: parse_by_phonenumbers(next(numbers)))


def envelope(channel: Channel) -> Envelope:
    to = PHONE if channel == "sms" else "ann@example.com"
    return Envelope(TENANT, "msg_1", to, channel, "My App", TenantSettings(), None, "https://auth.example.com")


@alone
@pytest.mark.parametrize("channel", ["sms", "email"])
def test_render_a_code_from_the_cache(benchmark: BenchmarkFixture, channel: Channel) -> None:
    assert benchmark(lambda: render_code(envelope(channel), code="482913", link=None, expires_in=600))


@alone
@pytest.mark.parametrize("channel", ["sms", "email"])
def test_render_a_code_anew(benchmark: BenchmarkFixture, channel: Channel) -> None:
    def render() -> object:
        return render_code(envelope(channel), code="482913", link=None, expires_in=600, cache=TextCache())

    assert benchmark(render)


@alone
def test_mask_a_phone_number(benchmark: BenchmarkFixture) -> None:
    identifier = parse_phone(PHONE)
    assert benchmark(lambda: identifier.masked)


@alone
def test_make_and_seal_a_code(benchmark: BenchmarkFixture, keyring: Keyring) -> None:
    def seal() -> object:
        return codes.seal(keyring, TENANT, PHONE, codes.new_code(6))

    seal()  # loads the cipher
    assert benchmark(seal)


@alone
def test_authenticate_a_code(benchmark: BenchmarkFixture, keyring: Keyring) -> None:
    assert benchmark(codes.macs, keyring, TENANT, PHONE, "482913")


@alone
def test_sign_a_token(benchmark: BenchmarkFixture, signer: Signer) -> None:
    subject = Subject(new_id("usr"), new_id("ses"), "sms", PHONE)
    assert benchmark(signer.sign, CALLER, subject)


@alone
def test_check_a_token(benchmark: BenchmarkFixture, signer: Signer) -> None:
    token = signer.sign(CALLER, Subject(new_id("usr"), new_id("ses"), "sms", PHONE))
    assert benchmark(signer.check, CALLER, token)


@alone
def test_decode_a_body(benchmark: BenchmarkFixture) -> None:
    decoder = msgspec.json.Decoder(CodeRequest)
    assert benchmark(decode_json, decoder, b'{"phone":"+12025550100"}')


@alone
def test_encode_an_error(benchmark: BenchmarkFixture) -> None:
    error, request_id = InvalidCode(attempts_remaining=4), new_id("req")
    assert benchmark(lambda: schemas.encode(problems.problem(error, request_id)))


@alone
def test_make_an_id(benchmark: BenchmarkFixture) -> None:
    assert benchmark(new_id, "ch")


@alone
def test_find_a_route_by_its_path(benchmark: BenchmarkFixture) -> None:
    assert benchmark(Router(ROUTES).find, "POST", "/api/auth/verify")


@alone
def test_find_a_route_with_parameters(benchmark: BenchmarkFixture) -> None:
    path = f"/api/admin/tenants/{TENANT}/keys/{new_id('key')}"
    assert benchmark(Router(ROUTES).find, "DELETE", path)


# --- round trips: to real servers


def repeat(benchmark: BenchmarkFixture, run: Run, call: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Measure a call to servers, many per round, because the CPU clock of other processes is coarse."""
    measure: Callable[..., object] = benchmark.pedantic  # which is untyped
    measure(lambda: run(call()), rounds=ROUNDS, iterations=CALLS, warmup_rounds=1)


async def open_challenge(auth1: Inside, number: str) -> None:
    opening = OpenChallenge(
        tenant_id=auth1.tenant.tenant_id,
        context=EventContext("bench"),
        identifier=parse_phone(number),
        code=codes.seal(auth1.services.keyring, auth1.tenant.tenant_id, number, "482913"),
        expires_in=600,
        attempts=5,
        sends_per_hour=5,
        first_wait=30,
        repeat_id=None,
        provider="twilio",
        data={"channel": "sms", "country": "US", "metadata": {}},
        challenge_id=new_id("ch"),
        message_id=new_id("msg"),
        event_id=new_id("evt"),
        locale=None,
        box_prefixes=codes.box_prefixes(auth1.services.keyring),
        budget_event_id=new_id("evt"),
    )
    opened = await store.open_challenge(auth1.services.postgres, opening)
    assert opened.verdict == "opened"


async def submit_code(auth1: Inside, number: str) -> None:
    answering = SubmitCode(
        tenant_id=auth1.tenant.tenant_id,
        context=EventContext("bench"),
        identifier=parse_phone(number),
        macs=codes.macs(auth1.services.keyring, auth1.tenant.tenant_id, number, "482913"),
        challenge_id=None,
        user_id=new_id("usr"),
        session=NewSession(new_id("ses"), 3600, 3600, None, None),
        event_id=new_id("evt"),
        user_event_id=new_id("evt"),
    )
    answered = await store.submit_code(auth1.services.postgres, answering)
    assert answered.verdict == "ok"


@trips
def test_open_a_challenge(benchmark: BenchmarkFixture, auth1: Inside, run: Run, numbers: Iterator[str]) -> None:
    repeat(benchmark, run, lambda: open_challenge(auth1, next(numbers)))


@trips
def test_answer_a_challenge(benchmark: BenchmarkFixture, auth1: Inside, run: Run, numbers: Iterator[str]) -> None:
    requested = [next(numbers) for _ in range(PREPARED)]
    for number in requested:
        run(open_challenge(auth1, number))
    repeat(benchmark, run, lambda: submit_code(auth1, requested.pop()))


@fifty
def test_take_fifty_slots_one_after_the_other(benchmark: BenchmarkFixture, auth1: Inside, run: Run) -> None:
    async def take() -> None:
        for bucket in buckets():
            assert (await auth1.services.limiter.acquire(bucket)).limited_by is None

    repeat(benchmark, run, take)


@fifty
def test_take_fifty_slots_at_once(benchmark: BenchmarkFixture, auth1: Inside, run: Run) -> None:
    async def take() -> None:
        taken = await asyncio.gather(*(auth1.services.limiter.acquire(bucket) for bucket in buckets()))
        assert all(slots.limited_by is None for slots in taken)

    repeat(benchmark, run, take)


def buckets() -> list[RateLimit]:
    """Return fifty rate limits like those of routes: one per client address."""
    return [RateLimit("ip", f"ratelimit:{{192.0.2.{n}}}:ip", 1_000_000, 3_600_000) for n in range(50)]


# --- whole requests, without HTTP and without Twilio's side


@whole
def test_request_a_code(benchmark: BenchmarkFixture, auth1: Inside, run: Run, numbers: Iterator[str]) -> None:
    repeat(benchmark, run, lambda: auth1.ask(next(numbers)))


@whole
def test_verify_a_code(benchmark: BenchmarkFixture, auth1: Inside, run: Run, numbers: Iterator[str]) -> None:
    async def ask() -> None:
        number = next(numbers)
        await auth1.ask(number)
        sent.append((number, await auth1.phone.read(number)))

    sent: list[tuple[str, str]] = []
    for _ in range(PREPARED):
        run(ask())
    repeat(benchmark, run, lambda: auth1.answer(*sent.pop()))
