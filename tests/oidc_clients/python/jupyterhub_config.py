"""JupyterHub with the generic authenticator. It starts no server of the user."""

import os

from jupyterhub.spawner import SimpleLocalProcessSpawner

ISSUER, BASE = os.environ["ISSUER"], os.environ["URL"]
c = get_config()  # noqa: F821
c.JupyterHub.bind_url = f"{BASE}/"
c.JupyterHub.hub_port = int(os.environ["HUB_PORT"])
c.JupyterHub.authenticator_class = "generic-oauth"
c.JupyterHub.spawner_class = SimpleLocalProcessSpawner
c.JupyterHub.db_url = "sqlite://"
c.ConfigurableHTTPProxy.command = [os.environ["PROXY"]]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ['PROXY_PORT']}"
c.GenericOAuthenticator.client_id = os.environ["CLIENT_ID"]
c.GenericOAuthenticator.client_secret = os.environ["CLIENT_SECRET"]
c.GenericOAuthenticator.oauth_callback_url = f"{BASE}/hub/oauth_callback"
c.GenericOAuthenticator.authorize_url = f"{ISSUER}/authorize"
c.GenericOAuthenticator.token_url = f"{ISSUER}/token"
c.GenericOAuthenticator.userdata_url = f"{ISSUER}/userinfo"
c.GenericOAuthenticator.scope = ["openid", "email"]
c.GenericOAuthenticator.username_claim = "email"
c.GenericOAuthenticator.allow_all = True
c.GenericOAuthenticator.auto_login = True
c.GenericOAuthenticator.logout_redirect_url = f"{ISSUER}/logout"
