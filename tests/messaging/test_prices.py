"""The price of a message: estimated at creation, and replaced by Twilio's price when present."""

from pathlib import Path

import pytest

from tests.conftest import Started
from tests.messaging.conftest import MessageDatabase, TenantApp
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer, answer

SID = "SM" + "0" * 32
SPENT = (
    "select sum(messages)::int as messages, sum(microdollars)::int as microdollars from spending where tenant_id = $1"
)


@pytest.mark.parametrize(
    ("said", "price"),
    [
        ({"price": "-0.00750", "price_unit": "USD"}, 7_500),
        ({"price": "-0.0159", "price_unit": "usd"}, 15_900),
        ({"price": "0", "price_unit": "USD"}, 0),
        ({"price": -0.5, "price_unit": "USD"}, 500_000),
    ],
)
async def test_twilio_price_replaces_the_estimate(
    app: TenantApp, carrier: TwilioServer, message_db: MessageDatabase, said: dict[str, object], price: int
) -> None:
    await app.api.admin("PATCH", f"/api/admin/tenants/{app.id}", {"settings": {"sms_budget_per_day": 1}})
    carrier.script.append(answer(201, {"sid": SID, "status": "accepted", **said}))
    phone = "+12015550142"

    assert (await app.ask(phone))[0] == 200

    row = await app.message(phone)
    assert (row["price_microdollars"], row["price_source"], row["segments"]) == (price, "provider", 1)
    counted = await message_db.connection.fetchrow(SPENT, app.id)
    assert counted is not None
    assert tuple(counted) == (1, price)
    budget = "select microdollars from budgets where tenant_id = $1"
    assert await message_db.connection.fetchval(budget, app.id) == price


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"price": None, "price_unit": "USD"},
        {"price": "-0.0075", "price_unit": "EUR"},
        {"price": "-0.0075", "price_unit": None},
        {"price": "free", "price_unit": "USD"},
        {"price": "-1e9", "price_unit": "USD"},
        {"price": "-99999.0", "price_unit": "USD"},
        {"price": ["-0.0075"], "price_unit": {"USD": True}},
    ],
)
async def test_estimate_is_kept_without_a_valid_twilio_price(
    app: TenantApp, carrier: TwilioServer, said: dict[str, object]
) -> None:
    carrier.script.append(answer(201, {"sid": SID, "status": "accepted", **said}))
    phone = "+12015550142"

    assert (await app.ask(phone))[0] == 200

    row = await app.message(phone)
    assert (row["price_microdollars"], row["price_source"], row["state"]) == (10_000, "estimate", "sent")


async def test_operator_price_list_sets_the_price_and_cost_metric(
    start_app: Started, carrier: TwilioServer, message_db: MessageDatabase, tmp_path: Path
) -> None:
    (tmp_path / "rates.csv").write_text("*,9\nGB,0.04\n")
    api = await start_app(TWILIO_API_URL=carrier.url, SMS_RATES_FILE=str(tmp_path / "rates.csv"))
    app = TenantApp(api, carrier, message_db, await api.tenant(sms_branding="Zoë ❤ and her friends"))
    before = await cost(api)

    assert (await app.ask("+447700900142"))[0] == 200

    row = await app.message("+447700900142")
    assert (row["country"], row["segments"], row["price_microdollars"]) == ("GB", 2, 80_000)
    assert await cost(api) - before == pytest.approx(0.08)


async def cost(api: ApiClient) -> float:
    """Return the cost metric of Twilio and the United Kingdom."""
    text = (await api.client.get("/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("auth1_message_cost_dollars_total{")]
    return sum(float(line.split()[-1]) for line in lines if 'country="GB",provider="twilio"' in line)
