"""The source of a line type: prefixes, kept results, one look-up for all who wait, phonenumbers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from auth1.core.circuit_breaker import MAX_FAILURES
from auth1.core.crypto import Keyring
from auth1.errors import Unavailable
from auth1.fraud.line_types import finder as line_type_finder
from auth1.fraud.line_types.finder import LineTypeFinder
from auth1.fraud.line_types.prefixes import Prefixes, compile_prefixes
from auth1.fraud.line_types.types import LineTypeResult, decide_line_type
from auth1.fraud.policy import FraudPolicy
from auth1.identifiers import parse_phone
from tests.conftest import JWT_SECRET, Started
from tests.support.api_client import ApiClient
from tests.support.providers import lookup as fake
from tests.support.providers.lookup import LookupServer, changed, packages, status

ALL_FIELDS = "line_type_intelligence,sms_pumping_risk,sim_swap"
ALWAYS, DOUBTFUL, NEVER = FraudPolicy(lookup="always"), FraudPolicy(lookup="doubtful"), FraudPolicy(lookup="never")
Find = Callable[..., Awaitable[LineTypeResult]]


@pytest.fixture(scope="module")
async def module_server() -> AsyncIterator[LookupServer]:
    async with LookupServer() as server:
        yield server


@pytest.fixture
def server(module_server: LookupServer) -> LookupServer:
    module_server.reset()
    return module_server


@pytest.fixture(scope="module")
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def new_finder(start_app: Started, server: LookupServer) -> Callable[..., Awaitable[LineTypeFinder]]:
    """Return a function that starts a worker and returns its finder."""

    async def start(fields: str = ALL_FIELDS, **changes: str) -> LineTypeFinder:
        changes = {"TWILIO_LOOKUP_URL": server.url, "TWILIO_LOOKUP_FIELDS": fields} | changes
        return (await start_app(**changes)).services.fraud_sources.line_types

    return start


NewFinder = Callable[..., Awaitable[LineTypeFinder]]


async def find(
    finder: LineTypeFinder, phone: str, policy: FraudPolicy = ALWAYS, *, is_doubtful: bool = False
) -> LineTypeResult:
    return await finder.find("tn_1", parse_phone(phone), policy, voip_blocking=True, is_doubtful=is_doubtful)


def known(
    finder: LineTypeFinder, phone: str, policy: FraudPolicy = ALWAYS, *, is_doubtful: bool = False
) -> LineTypeResult | None:
    return finder.get_known(parse_phone(phone), policy, voip_blocking=True, is_doubtful=is_doubtful)


async def test_nothing_is_looked_up_without_fields_and_address(start_app: Started, phone: str) -> None:
    api = await start_app()

    assert api.settings.twilio is not None
    assert api.settings.twilio.lookup_fields == ()
    result = await find(api.services.fraud_sources.line_types, phone)

    assert result == LineTypeResult("unknown", "phonenumbers")


async def test_address_of_lookup_switches_line_types_on(start_app: Started, server: LookupServer, phone: str) -> None:
    server.numbers[phone] = packages("nonFixedVoip")
    api = await start_app(TWILIO_LOOKUP_URL=server.url)

    result = await find(api.services.fraud_sources.line_types, phone)

    assert result == LineTypeResult("nonFixedVoip", "lookup")
    assert len(server.requests) == 1


async def test_look_up_is_bought_once_for_all_workers(new_finder: NewFinder, server: LookupServer, phone: str) -> None:
    server.numbers[phone] = packages("nonFixedVoip", risk=61, swapped=True)
    first, second = await new_finder(), await new_finder()

    result = await find(first, phone)
    await first.close()  # it finishes its writes

    assert result == LineTypeResult("nonFixedVoip", "lookup", None, 61, True)
    assert known(first, phone) == result
    assert known(second, phone) is None
    assert await find(second, phone) == result
    assert known(second, phone) == result
    assert len(server.requests_for(phone)) == 1


async def test_fifty_requests_for_one_number_make_one_call(
    new_finder: NewFinder, server: LookupServer, phone: str
) -> None:
    finder = await new_finder()
    server.delay_s = 0.1

    results = await asyncio.gather(*(find(finder, phone) for _ in range(50)))

    assert set(results) == {LineTypeResult("mobile", "lookup", None, 7, False)}
    assert len(server.requests_for(phone)) == 1


async def test_failed_look_up_is_shared_and_then_repeated(
    new_finder: NewFinder, server: LookupServer, phone: str
) -> None:
    finder = await new_finder()
    server.behaviour = status(500)

    results = await asyncio.gather(*(find(finder, phone) for _ in range(50)))

    assert set(results) == {LineTypeResult("unknown", "phonenumbers", "http_error")}
    assert len(server.requests_for(phone)) == 1
    server.reset()
    assert (await find(finder, phone)).type == "mobile"


async def test_client_that_disconnects_does_not_end_the_look_up_of_others(
    new_finder: NewFinder, server: LookupServer, phone: str
) -> None:
    finder = await new_finder()
    server.delay_s = 0.2
    first = asyncio.create_task(find(finder, phone))
    second = asyncio.create_task(find(finder, phone))
    await asyncio.sleep(0.05)

    first.cancel()

    assert (await second).type == "mobile"
    assert len(server.requests_for(phone)) == 1


@pytest.mark.parametrize(
    ("policy", "is_doubtful", "is_bought"),
    [
        (ALWAYS, False, True),
        (DOUBTFUL, False, False),
        (DOUBTFUL, True, True),
        (NEVER, False, False),
        (NEVER, True, False),
    ],
)
async def test_policy_decides_which_numbers_are_looked_up(
    new_finder: NewFinder, server: LookupServer, phone: str, policy: FraudPolicy, is_doubtful: bool, is_bought: bool
) -> None:
    finder = await new_finder()

    result = await find(finder, phone, policy, is_doubtful=is_doubtful)

    assert result.source == ("lookup" if is_bought else "phonenumbers")
    assert len(server.requests) == is_bought


async def test_result_in_the_process_serves_a_policy_that_would_not_buy_it(new_finder: NewFinder, phone: str) -> None:
    finder = await new_finder()
    await find(finder, phone)

    by_doubtful, by_never = known(finder, phone, DOUBTFUL), known(finder, phone, NEVER)

    assert by_doubtful is not None
    assert by_never is not None
    assert (by_doubtful.source, by_never.source) == ("lookup", "phonenumbers")


async def test_prefix_goes_before_any_look_up(new_finder: NewFinder, server: LookupServer, phone: str) -> None:
    finder = await new_finder()
    finder.use_prefixes(Prefixes(compile_prefixes(["1,landline", f"{phone},pager"])[1]))

    assert await find(finder, phone) == LineTypeResult("pager", "prefixes")

    assert server.requests == []


async def test_number_that_phonenumbers_rejects_is_not_looked_up(new_finder: NewFinder, server: LookupServer) -> None:
    finder = await new_finder()

    assert await find(finder, "+445612345678") == LineTypeResult("nonFixedVoip", "phonenumbers")

    assert server.requests == []


async def test_unknown_type_is_a_failure_and_is_bought_once_a_day(
    new_finder: NewFinder, server: LookupServer, phone: str
) -> None:
    server.numbers[phone] = packages(None, risk=61)
    first, second = await new_finder(), await new_finder()

    result = await find(first, phone)
    await first.close()  # it finishes its writes

    assert result == LineTypeResult("unknown", "phonenumbers", "unknown_type", 61, False)
    assert (
        decide_line_type(result, FraudPolicy(lookup_outage="unavailable"), voip_blocking=True).action == "unavailable"
    )
    assert await find(first, phone) == await find(second, phone) == result
    assert len(server.requests_for(phone)) == 1


async def test_number_that_lookup_rejects_is_not_repeated_at_once(
    new_finder: NewFinder, server: LookupServer, phone: str
) -> None:
    finder = await new_finder()
    server.behaviour = changed(phone_number="+14155550199")

    assert await find(finder, phone) == LineTypeResult("unknown", "phonenumbers", "other_number")
    assert await find(finder, phone) == LineTypeResult("unknown", "phonenumbers", "other_number")

    assert len(server.requests_for(phone)) == 1


async def age(connection: asyncpg.Connection, finder: LineTypeFinder, phone: str, days: float) -> None:
    """Stop a worker, and make the kept result of a number older."""
    await finder.close()  # it finishes its writes
    digest = Keyring(JWT_SECRET).macs("line types", phone.encode())[0][:16]
    changed_rows = await connection.execute(
        """update line_types set looked_up_at = looked_up_at - $2 * interval '1 day',
             signals_at = signals_at - $2 * interval '1 day' where digest = $1""",
        *(digest, days),
    )
    assert changed_rows == "UPDATE 1"


async def test_line_type_is_kept_30_days_and_signals_one_day(
    new_finder: NewFinder, server: LookupServer, connection: asyncpg.Connection, phone: str
) -> None:
    finder = await new_finder()
    await find(finder, phone)
    server.numbers[phone] = packages("landline", risk=90, swapped=True)

    for days, expected in (
        (0.9, LineTypeResult("mobile", "lookup", None, 7, False)),
        (0.2, LineTypeResult("mobile", "lookup", None, 90, True)),
        (29, LineTypeResult("landline", "lookup", None, 90, True)),
    ):
        await age(connection, finder, phone, days)
        finder = await new_finder()
        assert await find(finder, phone) == expected

    bought = [request.fields for request in server.requests_for(phone)]
    assert bought == [ALL_FIELDS.split(","), ["sms_pumping_risk", "sim_swap"], ALL_FIELDS.split(",")]


async def test_failure_of_signals_alone_is_no_failure_of_the_type(
    new_finder: NewFinder, server: LookupServer, connection: asyncpg.Connection, phone: str
) -> None:
    finder = await new_finder()
    await find(finder, phone)
    await age(connection, finder, phone, 2)
    server.behaviour = status(500)

    assert await find(await new_finder(), phone) == LineTypeResult("mobile", "lookup")


async def test_kept_result_survives_a_change_of_the_secret(
    new_finder: NewFinder, server: LookupServer, phone: str
) -> None:
    old = await new_finder()
    await find(old, phone)
    await old.close()

    new = await new_finder(JWT_SECRET="another secret for signing, of 32 bytes", JWT_SECRET_PREVIOUS=JWT_SECRET)

    assert (await find(new, phone)).source == "lookup"
    assert len(server.requests_for(phone)) == 1


async def test_numbers_are_not_readable_in_the_database(
    new_finder: NewFinder, connection: asyncpg.Connection, phone: str
) -> None:
    finder = await new_finder()
    await find(finder, phone)
    await finder.close()

    rows = await connection.fetch("select l::text as text from line_types l")

    assert rows
    assert all(phone[1:] not in row["text"] and phone.encode().hex() not in row["text"] for row in rows)


async def test_process_keeps_a_bounded_number_of_results(
    new_finder: NewFinder, server: LookupServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_type_finder, "MAX_CACHED", 3)
    finder = await new_finder()
    phones = [f"+1415555{number:04d}" for number in range(5)]

    for phone in phones:
        await find(finder, phone)

    assert [known(finder, phone) is not None for phone in phones] == [False, False, True, True, True]


async def test_new_worker_finds_a_kept_result_by_one_statement(
    new_finder: NewFinder, start_app: Started, server: LookupServer, phone: str
) -> None:
    earlier = await new_finder()
    await find(earlier, phone)
    await earlier.close()
    services = (await start_app(TWILIO_LOOKUP_URL=server.url, TWILIO_LOOKUP_FIELDS=ALL_FIELDS)).services
    finder, before = services.fraud_sources.line_types, services.postgres.round_trips

    await find(finder, phone)

    assert services.postgres.round_trips - before == 1
    assert len(server.requests_for(phone)) == 1
    await find(finder, phone)
    assert services.postgres.round_trips - before == 1


async def test_nothing_is_bought_while_postgresql_is_unavailable(
    start_app: Started, server: LookupServer, phone: str
) -> None:
    api: ApiClient = await start_app(TWILIO_LOOKUP_URL=server.url, TWILIO_LOOKUP_FIELDS=ALL_FIELDS)
    finder = api.services.fraud_sources.line_types
    await api.services.postgres.stop()

    with pytest.raises(Unavailable):
        await find(finder, phone)

    assert server.requests == []


async def test_hanging_service_costs_a_deadline_until_the_breaker_opens(
    new_finder: NewFinder, server: LookupServer
) -> None:
    finder = await new_finder(TIMEOUT_SCALE="2")  # a busy machine connects within a second
    server.behaviour = fake.hang
    phones = [f"+1415556{number:04d}" for number in range(MAX_FAILURES)]

    results = await asyncio.gather(*(find(finder, phone) for phone in phones))
    after = await find(finder, "+14155560100")

    assert {result.failure for result in results} == {"timeout"}
    assert after.failure == "breaker_open"
    assert len(server.requests) == MAX_FAILURES


def test_digest_depends_on_the_secret() -> None:
    one, other = Keyring("x" * 32), Keyring("y" * 32)

    assert one.macs("line types", b"+14155550100") != other.macs("line types", b"+14155550100")
