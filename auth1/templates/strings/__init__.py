"""Built-in texts, one TOML file per language. A new language is one new file, named by its tag."""

from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Annotated

import msgspec

from auth1.templates.locales import is_tag
from auth1.templates.placeholders import SMS, Template, TemplateRules, parse

PHRASE = TemplateRules(320, "never")
_LOGIN_VALUES = {"brand", "client", "date", "destination", "digits", "name", "time"}


class SmsStrings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Texts of an SMS: a code to sign in, and a code that adds this number to an account."""

    login: str
    add: str


class EmailStrings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Texts of an email. `code_…`, `link_…` and `both_…` say what the email contains."""

    code_subject: str
    link_subject: str
    add_subject: str
    code: str
    link: str
    or_link: str  # above a link that follows a code
    add_code: str
    button: str
    paste: str
    code_expiry: str
    link_expiry: str
    both_expiry: str
    code_footer: str
    link_footer: str
    both_footer: str


class NoticeStrings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Texts of notices, by the name of the change, and the advice that follows each."""

    phone_added: str
    phone_changed: str
    phone_removed: str
    email_added: str
    email_changed: str
    email_removed: str
    advice: str


class PageStrings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Texts of the pages behind a link. `confirm` is the heading and the button."""

    confirm: str
    press: str
    origin: str
    device: str
    network: str
    confirmed_title: str
    confirmed: str
    expired_title: str
    expired: str
    open: str


class LoginStrings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Texts of the hosted login. `fill` puts in values."""

    title: str
    identifier: str
    phone: str
    email: str
    phone_hint: str
    proceed: str
    invalid: str
    invalid_phone: str
    invalid_email: str
    confirm_title: str
    confirm: str
    send: str
    change: str
    change_phone: str
    change_email: str
    code_title: str
    sent_sms: str
    sent_email: str
    code: str
    wrong: str
    incomplete: str
    ended: str
    locked: str
    resend: str
    resend_in: str
    too_soon: str
    delivered: str
    undelivered: str
    use_email: str
    use_phone: str
    proof_title: str
    proof: str
    proof_no_script: str
    proof_no_script_email: str
    proof_failed: str
    proof_failed_email: str
    account_title: str
    continue_as: str
    other_account: str
    consent_title: str
    consent: str
    signed_in_as: str
    scope_openid: str
    scope_profile: str
    scope_email: str
    scope_phone: str
    scope_offline_access: str
    scope_other: str
    allow: str
    deny: str
    cancel: str
    done_title: str
    done: str
    leaving: str
    back: str
    logout_title: str
    logout: str
    logged_out_title: str
    logged_out: str
    expired_title: str
    expired: str
    denied_title: str
    banned: str
    denied: str
    blocked: str
    country: str
    opted_out: str
    limited: str
    unsent: str
    error_title: str
    error: str
    invalid_request: str
    missing_title: str
    missing: str
    suspended: str
    language: str
    language_name: str
    my_account: str
    devices: str
    this_device: str
    signed_in_on: str
    sign_out: str
    end_others: str
    unknown_device: str
    apps: str
    no_apps: str
    remove: str
    erase: str
    erase_title: str
    erase_text: str
    erased_title: str
    signed_out_title: str
    close_page: str
    undelivered_phone: str
    sending: str
    message_sent: str
    use_link: str
    use_code: str
    waiting_title: str
    sent_link: str
    waiting: str
    link_pending: str
    link_ended: str
    resend_link: str
    link_resend_in: str
    open_link: str
    add_phone: str
    add_email: str
    required_phone: str
    required_email: str
    already_yours: str
    taken: str
    add: str
    replace: str
    none: str
    remove_identifier: str
    remove_phone: str
    remove_email: str
    remove_text: str
    terms: str
    privacy: str
    legal: str

    def fill(self, key: str, /, **values: object) -> str:
        """Return a text with its values. They are not parsed: a brand named `{name}` is shown as it is."""
        text: str = getattr(self, key)
        return text.format(**values)


class Strings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """All texts of a language. `duration` has a text per number of minutes, and `other`.

    `country` is the country of a phone number without a country code, where the browser names only the language.
    """

    country: Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$")]
    duration: dict[str, str]
    sms: SmsStrings
    email: EmailStrings
    notices: NoticeStrings
    pages: PageStrings
    login: LoginStrings

    def template(self, text: str, minutes: int, rules: TemplateRules = PHRASE) -> Template:
        """Parse one of these texts for a number of minutes."""
        duration = self.duration.get(str(minutes)) or self.duration["other"]
        return parse(text.replace("{duration}", duration), rules)


def load(directory: Path) -> dict[str, Strings]:
    """Read and check the language files of a directory; returns them by tag. Raises ValueError naming the file."""
    languages = {}
    for path in sorted(directory.glob("*.toml")):
        if not is_tag(path.stem):
            raise ValueError(f"{path}: the name is not a language tag")
        try:
            languages[path.stem] = strings = msgspec.toml.decode(path.read_bytes(), type=Strings)
            for text, rules in _texts(strings):
                strings.template(text, 1, rules)
            _check_login(strings.login)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return languages


def _texts(strings: Strings) -> Iterator[tuple[str, TemplateRules]]:
    for group in (strings.sms, strings.email, strings.notices, strings.pages):
        rules = SMS if group is strings.sms else PHRASE
        for name in group.__struct_fields__:
            yield getattr(group, name), rules


def _check_login(strings: LoginStrings) -> None:
    for name in strings.__struct_fields__:
        found = {field for _, field, _, _ in Formatter().parse(getattr(strings, name)) if field is not None}
        if found - _LOGIN_VALUES:
            raise ValueError(f"login.{name} contains {found - _LOGIN_VALUES}")


STRINGS = load(Path(__file__).parent)
