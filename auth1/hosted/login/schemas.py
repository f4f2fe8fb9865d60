"""Bodies of responses to the script of the pages."""

from auth1.core.schemas import Out


class LoginStatus(Out):
    """The delivery of the code, in words. `final`: nothing follows; `reload`: the login has moved on."""

    text: str
    final: bool
    reload: bool
