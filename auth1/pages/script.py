"""The script of pages with forms, and its hash for a Content-Security-Policy.

Each page is complete without it. It counts down until another code may be requested, shows the delivery of a message,
reads the code from an SMS (WebOTP), solves proof of work, and submits the form that leads back to an application.
"""

from pathlib import Path
from typing import NamedTuple

from auth1.core.crypto import content_hash


class Script(NamedTuple):
    """The content of a script element, and its hash."""

    text: str
    sha256: str


def _load(path: Path) -> Script:
    text = path.read_text()
    return Script(text, content_hash(text))


SCRIPT = _load(Path(__file__).with_name("page.js"))
