"""The HTML of the hosted login: one template for each state, in the words of `strings/*.toml`."""

from functools import partial
from typing import NamedTuple

from jinja2 import Template
from markupsafe import Markup

from auth1.templates.locales import direction
from auth1.templates.pages import Look
from auth1.templates.strings import STRINGS


class Frame(NamedTuple):
    """The common parts of all pages of a login: look, brand, script, and the hidden fields of their forms.

    `problem` is the error of the form that was sent, as a sentence. `can_cancel`: an application waits for the login.
    `footer` is a sentence of the tenant; `legal` has the texts and addresses of links.
    """

    look: Look
    brand: str
    script: str
    token: str = ""
    step: str = ""
    problem: str | None = None
    can_cancel: bool = False
    footer: str | None = None
    legal: tuple[tuple[str, str], ...] = ()


def render_login(template: Template, frame: Frame, title: str, **values: object) -> str:
    """Render a page. Templates get texts by `t("name", value=…)`."""
    look = frame.look
    return template.render(
        lang=look.lang,
        dir=direction(look.lang),
        title=title,
        style=Markup(look.style),  # noqa: S704 - a style sheet of ours
        logo_url=look.logo_url,
        logo_alt=frame.brand,
        script=Markup(frame.script),  # noqa: S704 - a script of ours
        brand=frame.brand,
        token=frame.token,
        step=frame.step,
        problem=frame.problem,
        can_cancel=frame.can_cancel,
        footer=frame.footer,
        legal=frame.legal,
        t=partial(_text, look.lang, frame.brand),
        **values,
    )


def duration(seconds: int) -> str:
    """Return a time to wait as digits, which are the same in all languages: 0:27, 12:00, 1:05:00."""
    minutes, rest = divmod(max(0, seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _text(lang: str, brand: str, key: str, /, **values: object) -> str:
    return STRINGS[lang].login.fill(key, brand=brand, **values)
