"""An application that users log in to, with a user whose hosted login is done."""

import secrets
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import jwt

from auth1.core.crypto import digest, s256
from auth1.core.ids import new_id
from auth1.oauth.authorization import codes
from auth1.oauth.authorization.requests import AuthorizationRequest, encode_request
from auth1.oauth.issuers import Issuer
from tests.conftest import new_phone
from tests.oauth.credentials import basic
from tests.support.api_client import ApiClient

REDIRECT_URI = "https://app.example.com/callback?from=auth1"
VERIFIER = "v" * 43
SCOPES = ["openid", "profile", "email", "phone", "offline_access"]
BROWSER = digest("browser")
_SESSION = """
insert into sessions (tenant_id, id, user_id, expires_at, idle_at, kind, created_at)
values ($1, $2, $3, now() + interval '1 day', now() + interval '1 day', 'browser', now() - interval '1 minute')
"""
_CONSENT = """
insert into consents (tenant_id, user_id, client_id, scopes) values ($1, $2, $3, $4)
on conflict (tenant_id, user_id, client_id) do update set scopes = excluded.scopes, revoked_at = null
"""
_LOGIN = """
insert into logins (tenant_id, id, browser_digest, client_id, request, step, user_id, session_id)
values ($1, $2, $3, $4, $5, 'done', $6, $7)
"""


@dataclass
class LoginApp:
    """An application of a tenant, its user, and the user's browser session."""

    api: ApiClient
    database: asyncpg.Connection
    tenant: dict[str, Any]
    kind: str = "web"
    alg: str = "ES256"
    sandbox: bool = False
    client_id: str = field(init=False)
    secret: str | None = field(init=False)  # of kind web
    user_id: str = field(default_factory=lambda: new_id("usr"))
    session_id: str = field(default_factory=lambda: new_id("ses"))
    phone: str = field(default_factory=new_phone)
    email: str = field(default_factory=lambda: f"{secrets.token_hex(6)}@example.com")

    @property
    def tenant_id(self) -> str:
        return str(self.tenant["tenant_id"]) + (":test" if self.sandbox else "")

    @property
    def path(self) -> str:
        return f"/t/{self.tenant['slug']}" + ("/test" if self.sandbox else "")

    @property
    def url(self) -> str:
        return self.api.settings.app_url + self.path

    async def issuer(self) -> Issuer:
        tenant = await self.api.services.tenants.find_slug(self.tenant["slug"], sandbox=self.sandbox)
        assert tenant is not None
        return Issuer(tenant, self.url)

    async def create(self, *, require_pkce: bool = True, first_party: bool = False) -> None:
        """Register the application, and insert the user and the session."""
        body: dict[str, object] = {
            "name": "Shop",
            "kind": self.kind,
            "redirect_uris": [REDIRECT_URI],
            "id_token_alg": self.alg,
        }
        body |= {"logout_uris": ["https://app.example.com/bye"]}
        body |= {"require_pkce": require_pkce, "first_party": first_party}
        created = (await self.api.manage(self.tenant, "POST", "/applications", body)).json()
        self.client_id, self.secret = created["client_id"], created.get("client_secret")
        await self.create_user()

    async def change(self, **changes: object) -> None:
        """Change the application."""
        await self.api.manage(self.tenant, "PATCH", f"/applications/{self.client_id}", changes)

    async def create_user(self) -> None:
        """Insert the user and the session."""
        insert = "insert into users (tenant_id, id, metadata, user_metadata) values ($1, $2, $3, $4)"
        await self.database.execute(
            *(insert, self.tenant_id, self.user_id),
            *('{"preferred_username": "ada"}', '{"name": "Ada", "preferred_username": "root", "locale": 1}'),
        )
        identifier = "insert into identifiers (tenant_id, identifier, type, user_id) values ($1, $2, $3, $4)"
        await self.database.execute(identifier, self.tenant_id, self.phone, "phone", self.user_id)
        await self.database.execute(identifier, self.tenant_id, self.email, "email", self.user_id)
        await self.open_session()

    async def open_session(self) -> None:
        """Open a new browser session of the user."""
        self.session_id = new_id("ses")
        await self.database.execute(_SESSION, self.tenant_id, self.session_id, self.user_id)

    async def login(self, **changes: Any) -> str:
        """Insert a hosted login that is done, with the consent of the user; return its id."""
        request = AuthorizationRequest(
            **{
                "client_id": self.client_id,
                "redirect_uri": REDIRECT_URI,
                "scopes": SCOPES,
                "state": "state",
                "nonce": "nonce",
                "code_challenge": s256(VERIFIER),
            }
            | changes
        )
        login_id = new_id("li")
        await self.database.execute(_CONSENT, self.tenant_id, self.user_id, request.client_id, SCOPES)
        await self.database.execute(
            *(_LOGIN, self.tenant_id, login_id, BROWSER, request.client_id, encode_request(request)),
            *(self.user_id, self.session_id),
        )
        return login_id

    async def code(self, login_id: str | None = None, **changes: Any) -> str:
        """Return the code of a login, or of a new one."""
        login_id = login_id or await self.login(**changes)
        response = await codes.issue_code(self.api.services, await self.issuer(), login_id, BROWSER)
        assert response is not None
        return dict(response.parameters)["code"]

    async def post(self, endpoint: str, **form: str | None) -> httpx.Response:
        """POST a form, with the client's credentials as its kind has them. None: leave a parameter out."""
        sent = {name: value for name, value in form.items() if value is not None}
        headers = {}
        if self.secret is not None:
            headers = {"authorization": basic(self.client_id, self.secret)}
        else:
            sent = {"client_id": self.client_id} | sent
        return await self.api.client.post(f"{self.path}/{endpoint}", data=sent, headers=headers)

    async def redeem(self, issued: str, **changes: str | None) -> httpx.Response:
        """Exchange a code."""
        form: dict[str, str | None] = {"code": issued, "redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}
        return await self.post("token", grant_type="authorization_code", **(form | changes))

    async def tokens(self, **changes: Any) -> dict[str, Any]:
        """Return the tokens of a new login."""
        response = await self.redeem(await self.code(**changes))
        assert response.status_code == 200, response.text
        tokens: dict[str, Any] = response.json()
        return tokens

    async def refresh(self, token: str, **form: str) -> httpx.Response:
        return await self.post("token", grant_type="refresh_token", refresh_token=token, **form)

    async def userinfo(self, access_token: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {access_token}"}
        return await self.api.client.get(f"{self.path}/userinfo", headers=headers)

    async def is_active(self, token: str) -> bool:
        response = await self.post("introspect", token=token)
        assert response.status_code == 200, response.text
        return bool(response.json()["active"])

    async def verify(self, token: str, audience: str) -> dict[str, Any]:
        """Verify a token by the issuer's published keys; return its claims."""
        header = jwt.get_unverified_header(token)
        keys = (await self.api.client.get(f"{self.path}/jwks")).json()["keys"]
        [key] = [key for key in keys if key["kid"] == header["kid"]]
        claims: dict[str, Any] = jwt.decode(
            token, jwt.PyJWK(key).key, [self.alg], audience=audience, issuer=self.url, options={"require": ["exp"]}
        )
        return claims
