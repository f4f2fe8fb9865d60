"""A browser without scripts: it keeps cookies, follows redirects of its own origin, and submits forms."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx

from tests.support.api_client import ApiClient

Form = dict[str, str]


@dataclass
class Page(HTMLParser):
    """A page: its text, and its forms with their hidden values and buttons."""

    response: httpx.Response
    forms: list[Form] = field(default_factory=list)
    buttons: list[str] = field(default_factory=list)
    fields: dict[str, dict[str, str | None]] = field(default_factory=dict)
    title: str = ""
    texts: list[str] = field(default_factory=list)
    leads_to: str | None = None  # by a meta element
    posts_to: str | None = None  # by a form to another origin
    lang: str | None = None
    links: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._tags: list[str] = []
        self.feed(self.response.text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        named = dict(attributes)
        self._tags = [tag]
        if tag == "html":
            self.lang = named["lang"]
        elif tag == "form":
            self.forms.append({})
            self.posts_to = named.get("action") or self.posts_to
        elif tag == "input":
            if named["type"] == "hidden":
                self.forms[-1][named["name"] or ""] = named.get("value") or ""
            self.fields[named["name"] or ""] = named
        elif tag == "a":
            self.links.append(named.get("href") or "")
        elif tag == "button" and named.get("name") == "do":
            self.buttons.append(named["value"] or "")
        elif tag == "meta" and named.get("http-equiv") == "refresh":
            self.leads_to = (named["content"] or "").partition("url=")[2]

    def handle_data(self, data: str) -> None:
        if self._tags[-1:] == ["title"]:
            self.title += data.strip()
        elif self._tags[-1:] not in (["style"], ["script"]) and data.strip():
            self.texts.append(data.strip())

    def handle_endtag(self, tag: str) -> None:
        self._tags = []

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def text(self) -> str:
        return " ".join(self.texts)


class Browser:
    """A browser of its own cookies, at the page of a login."""

    def __init__(self, api: ApiClient, address: str = "127.0.0.1") -> None:
        self.client = api.new_client(api.settings.app_url)
        self.headers = {"user-agent": "a browser", "accept-language": "en-US"}
        self.page: Page

    async def open(self, path: str) -> Page:
        """Open a path of our origin, and follow its redirects there."""
        response = await self.client.get(path, headers=self.headers)
        return await self._show(response)

    async def submit(
        self, do: str | None, *, page: Page | None = None, headers: dict[str, str] | None = None, **typed: str
    ) -> Page:
        """Press a button of the page, or of one that another tab shows. None sends the fields alone."""
        page = page or self.page
        hidden = next((form for form in page.forms if "csrf" in form), {})
        data: dict[str, Any] = hidden | ({} if do is None else {"do": do}) | typed
        sent = self.headers | {"origin": "http://localhost:3000", "sec-fetch-site": "same-origin"} | (headers or {})
        response = await self.client.post(page.response.url.path, data=data, headers=sent)
        return await self._show(response)

    async def _show(self, response: httpx.Response) -> Page:
        for _ in range(5):
            location = response.headers.get("location")
            if location is None or not location.startswith(str(self.client.base_url)):
                break
            response = await self.client.get(location, headers=self.headers)
        self.page = Page(response)
        return self.page
