"""A web application with Authlib and Flask: it logs in, refreshes and logs out."""

import os
from urllib.parse import urlencode

from authlib.integrations.flask_client import OAuth
from flask import Flask, jsonify, redirect, session

ISSUER, BASE = os.environ["ISSUER"], os.environ["URL"]
app = Flask(__name__)
app.secret_key = "test"
oauth = OAuth(app)
oauth.register(
    "auth1",
    server_metadata_url=f"{ISSUER}/.well-known/openid-configuration",
    client_id=os.environ["CLIENT_ID"],
    client_secret=os.environ["CLIENT_SECRET"],
    client_kwargs={"scope": "openid email offline_access", "code_challenge_method": "S256"},
)
tokens: dict = {}  # cookies of Flask are too small for them


@app.get("/")
def index():
    if "claims" in session:
        return jsonify(session["claims"])
    return oauth.auth1.authorize_redirect(f"{BASE}/callback")


@app.get("/callback")
def callback():
    tokens.update(oauth.auth1.authorize_access_token())
    session["claims"] = tokens["userinfo"]  # of the ID token
    return redirect("/")


@app.get("/refresh")
def refresh():
    renewed = oauth.auth1.fetch_access_token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    claims = oauth.auth1.userinfo(token=renewed)
    return jsonify({**claims, "rotated": renewed["refresh_token"] != tokens["refresh_token"]})


@app.get("/logout")
def logout():
    session.clear()
    end = oauth.auth1.load_server_metadata()["end_session_endpoint"]
    query = urlencode({"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": f"{BASE}/bye"})
    return redirect(f"{end}?{query}")


@app.get("/bye")
def bye():
    return jsonify({"bye": True})


app.run("127.0.0.1", int(os.environ["PORT"]))
