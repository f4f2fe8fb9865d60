"""JupyterHub with the generic authenticator. It starts no server of the user."""

import os
import urllib.request
from urllib.parse import urlencode

from jupyterhub.spawner import SimpleLocalProcessSpawner

ISSUER, BASE = os.environ["ISSUER"], os.environ["URL"]
c = get_config()  # noqa: F821
c.JupyterHub.bind_url = f"{BASE}/"
c.JupyterHub.hub_port = int(os.environ["HUB_PORT"])
c.JupyterHub.authenticator_class = "generic-oauth"
c.JupyterHub.spawner_class = SimpleLocalProcessSpawner
c.JupyterHub.log_level = "DEBUG"
c.JupyterHub.db_url = "sqlite://"
c.ConfigurableHTTPProxy.command = [os.environ["PROXY"]]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ['PROXY_PORT']}"
c.GenericOAuthenticator.client_id = os.environ["CLIENT_ID"]
c.GenericOAuthenticator.client_secret = os.environ["CLIENT_SECRET"]
c.GenericOAuthenticator.oauth_callback_url = f"{BASE}/hub/oauth_callback"
c.GenericOAuthenticator.authorize_url = f"{ISSUER}/authorize"
c.GenericOAuthenticator.token_url = f"{ISSUER}/token"
c.GenericOAuthenticator.userdata_url = f"{ISSUER}/userinfo"
c.GenericOAuthenticator.scope = ["openid", "email", "offline_access"]
c.GenericOAuthenticator.username_claim = "email"
c.GenericOAuthenticator.allow_all = True
c.GenericOAuthenticator.auto_login = True
c.GenericOAuthenticator.logout_redirect_url = f"{ISSUER}/logout"
# The hub checks its users again while they use it, and refreshes a token that has ended.
c.GenericOAuthenticator.enable_auth_state = True
c.Authenticator.auth_refresh_age = 1


def end_access_token(authenticator, user, auth_state):
    """End the token of a user as time would; the hub goes on as it would then."""
    sent = {"token": auth_state["access_token"], "client_id": os.environ["CLIENT_ID"]}
    sent["client_secret"] = os.environ["CLIENT_SECRET"]
    urllib.request.urlopen(f"{ISSUER}/revoke", urlencode(sent).encode()).close()


c.GenericOAuthenticator.refresh_user_hook = end_access_token
