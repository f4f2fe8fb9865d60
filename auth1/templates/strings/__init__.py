"""Built-in texts, one TOML file per language. A new language is one new file, named by its tag."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from auth1.templates.locales import is_tag
from auth1.templates.placeholders import SMS, Rules, Template, parse

PHRASE = Rules(320, "never")


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


class Strings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """All texts of a language. `duration` has a text per number of minutes, and `other`."""

    duration: dict[str, str]
    sms: SmsStrings
    email: EmailStrings
    notices: NoticeStrings
    pages: PageStrings

    def template(self, text: str, minutes: int, rules: Rules = PHRASE) -> Template:
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
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return languages


def _texts(strings: Strings) -> Iterator[tuple[str, Rules]]:
    for group in (strings.sms, strings.email, strings.notices, strings.pages):
        rules = SMS if group is strings.sms else PHRASE
        for name in group.__struct_fields__:
            yield getattr(group, name), rules


STRINGS = load(Path(__file__).parent)
