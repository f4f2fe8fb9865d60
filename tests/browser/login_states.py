"""All states of the pages of the login and the account, as a tenant previews them."""

from typing import get_args

from auth1.hosted.preview import Page
from tests.support.process import Auth1

STATES: tuple[str, ...] = get_args(Page)


async def html_of(auth1: Auth1, secret_key: str, state: str, **body: object) -> str:
    """Return the page of a state."""
    headers = {"x-api-key": secret_key}
    answer = await auth1.client.post("/api/tenant/login-page/preview", json={"page": state} | body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.text
