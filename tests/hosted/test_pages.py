"""Each page of a login: what it shows, and what a right form does."""

import re

import pytest

from tests.hosted.browser import Browser, Page
from tests.hosted.conftest import CALLBACK, CODE, Site
from tests.support.providers.twilio import TwilioServer

POLICY = "default-src 'none'; style-src 'sha256-"


def assert_is_safe(page: Page) -> None:
    """Check the headers that every page has."""
    policy = page.response.headers["content-security-policy"]
    assert policy.startswith(POLICY)
    assert "frame-ancestors 'none'; base-uri 'none'" in policy
    assert "unsafe" not in policy
    assert page.response.headers["cache-control"] == "no-store"
    assert page.response.headers["referrer-policy"] == "same-origin"
    assert page.response.headers["x-content-type-options"] == "nosniff"


async def wait_for_resend(site: Site, phone: str) -> None:
    """Make the next code wait for ten hours, however slow the test is."""
    later = "update identifiers set resend_at = now() + interval '10 hours', code_expires_at = now() + interval '1 day'"
    await site.database.execute(f"{later} where identifier = $1", phone)


async def test_login_by_email_leads_to_the_application_with_a_code(site: Site, browser: Browser) -> None:
    path = await site.login(browser)
    start = await browser.open(path)
    assert start.title == "Sign in to My App"
    assert start.fields["identifier"]["autocomplete"] == "username"
    code = await browser.submit("proceed", identifier="ada@example.com")
    assert "We sent a 6-digit code to a•••@example.com by email." in code.text
    assert code.fields["code"]["autocomplete"] == "one-time-code"
    done = await browser.submit("verify", code="000 000")

    assert done.leads_to is not None
    assert done.leads_to.startswith(f"{CALLBACK}?")
    assert "code=" in done.leads_to
    assert "state=s+t%26" in done.leads_to or "state=s%20t%26" in done.leads_to
    row = await site.row(path)
    assert (row["step"], row["amr"]) == ("done", ["otp"])
    for page in (start, code, done):
        assert_is_safe(page)


async def test_session_of_the_login_is_one_of_a_browser(site: Site, browser: Browser) -> None:
    path = await site.until_code(browser)
    await browser.submit("verify", code=CODE)

    row = await site.row(path)
    query = "select kind, amr, user_id from sessions where id = $1"
    [session] = await site.database.fetch(query, row["session_id"])
    assert tuple(session) == ("browser", ["otp"], row["user_id"])


async def test_national_number_is_shown_before_a_message_is_sent(site: Site, browser: Browser) -> None:
    path = await site.login(browser)
    await browser.open(path)
    page = await browser.submit("proceed", identifier="(500) 555-0000")

    assert page.title == "Is this your phone number?"
    assert "+1 500-555-0000" in page.text
    assert (await site.row(path))["step"] == "start"
    page = await browser.submit("proceed", identifier=page.forms[0]["identifier"])
    assert page.title == "Enter your code"
    assert "by text message" in page.text


async def test_international_number_is_sent_at_once(site: Site, browser: Browser) -> None:
    await site.until_code(browser, "+1 500 555 0000")

    assert "We sent a 6-digit code to +1•••••••000 by text message." in browser.page.text


async def test_delivery_of_the_message_is_shown(site: Site, browser: Browser) -> None:
    path = await site.until_code(browser, "+15005550000")
    assert "Delivered" in (await browser.open(path)).text
    status = await browser.client.get(f"{path}/status")
    assert status.json() == {"text": "Delivered", "final": True, "reload": False}

    path = await site.until_code(browser, "+15005550005")
    assert "The message wasn't delivered." in (await browser.open(path)).text


async def test_status_of_another_step_reloads_the_page(site: Site, browser: Browser) -> None:
    path = await site.login(browser)

    assert (await browser.client.get(f"{path}/status")).json()["reload"]
    assert (await site.browser().client.get(f"{path}/status")).json()["reload"]


async def test_code_is_sent_again(site: Site, browser: Browser) -> None:
    path = await site.until_code(browser)
    first = (await site.row(path))["challenge_id"]
    page = await browser.submit("resend")

    assert page.title == "Enter your code"
    assert (await site.row(path))["challenge_id"] == first, "the same code again"
    assert (await browser.submit("verify", code=CODE)).leads_to


@pytest.mark.parametrize(("do", "kind"), [("use_email", "email"), ("use_phone", "tel"), ("change", "text")])
async def test_other_ways_lead_back_to_the_first_page(site: Site, browser: Browser, do: str, kind: str) -> None:
    await site.until_code(browser)
    page = await browser.submit(do)

    assert page.title == "Sign in to My App"
    assert page.fields["identifier"]["type"] == kind


async def test_consent_names_scopes_in_words_and_is_remembered(site: Site, browser: Browser) -> None:
    scopes = ["openid", "profile", "email", "phone", "offline_access", "notes:<b>"]
    page = await site.sign_in(browser, prompt=["consent"], scopes=scopes)

    assert page.title == "Allow Notes to use your My App account?"
    assert "Signed in as a•••@example.com" in page.text
    assert "Confirm that it's you See your profile See your email address See your phone number" in page.text
    assert "Use this permission: notes:<b>" in page.text
    assert_is_safe(page)
    assert (await browser.submit("allow")).leads_to


async def test_denied_consent_is_reported_to_the_application(site: Site, browser: Browser) -> None:
    await site.sign_in(browser, prompt=["consent"])
    page = await browser.submit("deny")

    assert page.leads_to is not None
    assert "error=access_denied" in page.leads_to


@pytest.mark.parametrize("is_sent", [False, True])
async def test_cancelled_login_is_reported_to_the_application(site: Site, browser: Browser, is_sent: bool) -> None:
    if is_sent:
        await site.until_code(browser)
    else:
        await browser.open(await site.login(browser))
    page = await browser.submit("cancel")

    assert page.leads_to is not None
    assert "error=access_denied" in page.leads_to
    assert "state=" in page.leads_to


async def test_response_by_form_is_posted_by_a_page(site: Site, browser: Browser) -> None:
    page = await site.sign_in(browser, response_mode="form_post")

    assert page.posts_to == CALLBACK
    assert {"code", "state", "iss"} == set(page.forms[0])
    assert page.forms[0]["state"] == "s t&"
    assert "form-action" not in page.response.headers["content-security-policy"]


async def test_account_of_the_session_is_offered_and_used(site: Site, browser: Browser) -> None:
    await site.sign_in(browser)
    path = await site.login(browser, "account")
    page = await browser.open(path)

    assert page.title == "Choose an account"
    assert "Continue as a•••@example.com" in page.text
    assert (await browser.submit("adopt")).leads_to
    first, second = await site.database.fetch(
        "select user_id, session_id from logins where tenant_id = $1 order by id", site.issuer_id
    )
    assert tuple(first) == tuple(second), "no second session"


async def test_another_account_can_be_used(site: Site, browser: Browser) -> None:
    await site.sign_in(browser)
    await browser.open(await site.login(browser, "account"))

    assert (await browser.submit("change")).title == "Sign in to My App"
    await browser.submit("proceed", identifier="bob@example.com")
    assert (await browser.submit("verify", code=CODE)).leads_to


@pytest.mark.parametrize("request_", [{"max_age": 0}, {"prompt": ["login", "select_account"]}])
async def test_session_is_not_enough_where_a_new_sign_in_is_wanted(
    site: Site, browser: Browser, request_: dict[str, object]
) -> None:
    await site.sign_in(browser)
    path = await site.login(browser, "account", **request_)
    await browser.open(path)

    assert (await browser.submit("adopt")).title == "Sign in to My App"
    assert (await site.row(path))["user_id"] is None


async def test_account_page_without_a_session_starts_the_login(site: Site, browser: Browser) -> None:
    assert (await browser.open(await site.login(browser, "account"))).title == "Sign in to My App"


async def test_language_follows_application_browser_and_choice(site: Site, browser: Browser) -> None:
    path = await site.login(browser, ui_locales=["fr-CA"])
    assert (await browser.open(path)).lang == "fr"
    assert (await browser.open(f"{path}?lang=de")).lang == "de"
    assert (await browser.open(path)).title == "Bei My App anmelden", "the choice is kept"
    assert (await browser.open(f"{path}?lang=xx")).lang == "de"

    browser.headers["accept-language"] = "es-MX"
    assert (await browser.open(await site.login(browser))).lang == "es"


async def test_hint_of_the_application_fills_the_field(site: Site, browser: Browser) -> None:
    page = await browser.open(await site.login(browser, login_hint='"><script>@example.com'))

    assert page.fields["identifier"]["value"] == '"><script>@example.com'


async def test_proof_of_work_is_solved_by_the_page(site: Site, browser: Browser) -> None:
    path = await site.login(browser)
    await browser.open(path)
    page = await browser.submit("proceed", identifier="+15005550006")

    assert page.title == "Checking your browser"
    assert "Turn on JavaScript in your browser and try again, or use email instead." in page.text
    assert page.buttons == ["use_email", "cancel"]
    assert '"algorithm":"SHA-256"' in (page.fields["proof"]["data-proof"] or "")
    again = await browser.submit("proceed", identifier="+15005550006", proof="bm9uZQ==")
    assert again.title == "Checking your browser"
    await browser.open(path)
    assert (await browser.submit("use_email")).fields["identifier"]["type"] == "email"


async def test_sms_names_the_host_of_the_page_for_browsers(
    site: Site, browser: Browser, twilio_server: TwilioServer, phone: str
) -> None:
    site.sandbox = False
    await site.until_code(browser, phone)
    text = twilio_server.sent_to(phone)[-1]

    assert text.endswith(f"\n@localhost #{twilio_server.code_for(phone)}")
    await wait_for_resend(site, phone)
    page = await browser.submit("resend")
    assert page.status == 422
    assert re.search(r"We sent a code recently. You can request a new one in (10|9):\d\d:\d\d\.", page.text)
    assert (await browser.submit("verify", code=twilio_server.code_for(phone))).leads_to


async def test_code_of_an_earlier_login_is_valid_while_no_other_can_be_sent(
    site: Site, browser: Browser, twilio_server: TwilioServer, phone: str
) -> None:
    site.sandbox = False
    await site.until_code(browser, phone)
    await wait_for_resend(site, phone)
    path = await site.until_code(browser, phone)

    assert len(twilio_server.sent_to(phone)) == 1
    assert (await site.row(path))["challenge_id"] is None
    assert (await browser.submit("verify", code=twilio_server.code_for(phone))).leads_to


async def test_time_until_the_next_code_is_decided_by_the_server(site: Site, browser: Browser) -> None:
    path = await site.until_code(browser)
    await site.database.execute(
        "update logins set resend_at = now() + interval '10 hours' where id = $1", path.rpartition("/")[2]
    )
    page = await browser.open(path)

    assert re.search(r"You can request a new code in (10|9):\d\d:\d\d\.", page.text)


async def test_form_without_a_button_takes_the_main_action(site: Site, browser: Browser, phone: str) -> None:
    path = f"/api/admin/tenants/{site.tenant['tenant_id']}"
    await site.api.admin("PATCH", path, {"settings": {"required_identifiers": ["phone"]}})
    await browser.open(await site.login(browser, prompt=["consent"]))
    await browser.submit(None, identifier="ada@example.com")
    assert (await browser.submit(None, code=CODE)).title == "Enter your phone number"
    await browser.submit(None, identifier=phone)
    assert (await browser.submit(None, code=CODE)).title.startswith("Allow Notes")

    assert (await browser.submit(None)).leads_to
    await browser.open(f"{site.path}/account")
    assert (await browser.submit(None)).title == "Your account", "its actions need their button"
