"""A browser without scripts that visits applications, and signs in on the pages of Auth1."""

from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

MAX_HOPS = 20


@dataclass
class Form:
    """A form: where it is sent, with its hidden values and its text fields."""

    action: str
    values: dict[str, str] = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)
    buttons: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """The forms of a page, and the address that it leads to by itself."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.leads_to: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.forms.append(Form(named.get("action", "")))
        elif tag == "meta" and named.get("http-equiv") == "refresh" and "url=" in named["content"]:
            self.leads_to = named["content"].partition("url=")[2]
        elif self.forms and tag == "input" and named.get("name"):
            if named.get("type") == "hidden":
                self.forms[-1].values[named["name"]] = named.get("value", "")
            else:
                self.forms[-1].fields.append(named["name"])
        elif self.forms and tag == "button" and named.get("name") == "do":
            self.forms[-1].buttons.append(named["value"])


class Visitor:
    """A person with a browser. `read_code` returns the newest code that was sent. Without it no one signs in."""

    def __init__(self, identifier: str, read_code: Callable[[], str] | None) -> None:
        self.identifier = identifier
        self.read_code = read_code
        self.client = httpx.AsyncClient(timeout=60, trust_env=False, verify=False)
        self.client.headers.update({"user-agent": "Mozilla/5.0", "accept": "text/html", "accept-language": "en"})
        self.steps: list[str] = []

    async def open(self, url: str) -> httpx.Response:
        """Open an address; follow redirects, sign in where Auth1 asks for it, and return the last response."""
        response = await self.client.get(url)
        for _ in range(MAX_HOPS):
            self.steps.append(f"{response.status_code} {response.request.method} {response.url.copy_with(query=None)}")
            if response.next_request is not None:
                response = await self.client.send(response.next_request)
                continue
            step = await self._next(response)
            if step is None:
                return response
            response = step
        raise AssertionError("\n".join(self.steps))

    async def _next(self, response: httpx.Response) -> httpx.Response | None:
        """Do what a page asks for. Return None at a page that asks for nothing."""
        if not response.headers.get("content-type", "").startswith("text/html"):
            return None
        page, here = Page(response.text), str(response.url)
        if page.leads_to is not None:
            return await self.client.get(urljoin(here, page.leads_to))
        for form in page.forms:
            sent = self._fill(form)
            if sent is not None:
                origin = f"{response.url.scheme}://{response.url.netloc.decode()}"
                return await self.client.post(urljoin(here, form.action), data=sent, headers={"origin": origin})
        return None

    def _fill(self, form: Form) -> dict[str, str] | None:
        if self.read_code is None and form.buttons:
            return None
        if "identifier" in form.fields:
            return {**form.values, "do": "proceed", "identifier": self.identifier}
        if "code" in form.fields and self.read_code is not None:
            return {**form.values, "do": "verify", "code": self.read_code()}
        for button in ("allow", "proceed", "logout"):
            if button in form.buttons:
                return {**form.values, "do": button}
        # A form that a script submits: Auth.js's sign-in, or a response by form_post.
        return form.values if form.values and not form.fields and not form.buttons else None
