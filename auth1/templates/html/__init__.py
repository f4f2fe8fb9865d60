"""Jinja templates of emails and pages, compiled at import. Every value is escaped; a missing value is an error."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)

EMAIL = _environment.get_template("email.html")
LINK_CONFIRM = _environment.get_template("link_confirm.html")
LINK_STATUS = _environment.get_template("link_status.html")
LOGIN_START = _environment.get_template("login_start.html")
LOGIN_CONFIRM = _environment.get_template("login_confirm.html")
LOGIN_PROOF = _environment.get_template("login_proof.html")
LOGIN_CODE = _environment.get_template("login_code.html")
LOGIN_WAITING = _environment.get_template("login_waiting.html")
LOGIN_PROFILE = _environment.get_template("login_profile.html")
LOGIN_ACCOUNT = _environment.get_template("login_account.html")
LOGIN_CONSENT = _environment.get_template("login_consent.html")
LOGIN_LEAVE = _environment.get_template("login_leave.html")
LOGIN_LOGOUT = _environment.get_template("login_logout.html")
LOGIN_MESSAGE = _environment.get_template("login_message.html")
ACCOUNT = _environment.get_template("account.html")
ACCOUNT_REMOVE = _environment.get_template("account_remove.html")
ACCOUNT_ERASE = _environment.get_template("account_erase.html")
