// A web application with openid-client: it logs in, refreshes, asks userinfo, and logs out.
import * as client from "openid-client";
import express from "express";
import session from "express-session";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, URL: BASE, PORT } = process.env;
const config = await client.discovery(new URL(ISSUER), CLIENT_ID, CLIENT_SECRET, undefined, {
  execute: [client.allowInsecureRequests], // http, on this machine
});
const app = express();
app.use(session({ secret: "test", resave: false, saveUninitialized: true }));

app.get("/", async (request, response) => {
  if (request.session.claims) return response.json(request.session.claims);
  const verifier = client.randomPKCECodeVerifier();
  request.session.verifier = verifier;
  request.session.state = client.randomState();
  request.session.nonce = client.randomNonce();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: `${BASE}/callback`,
    scope: "openid email offline_access",
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state: request.session.state,
    nonce: request.session.nonce,
  });
  response.redirect(url.href);
});

app.get("/callback", async (request, response) => {
  const { verifier, state, nonce } = request.session;
  const tokens = await client.authorizationCodeGrant(config, new URL(`${BASE}${request.originalUrl}`), {
    pkceCodeVerifier: verifier,
    expectedState: state,
    expectedNonce: nonce,
    idTokenExpected: true,
  });
  request.session.tokens = tokens;
  request.session.claims = tokens.claims();
  request.session.userinfo = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
  response.redirect("/");
});

app.get("/refresh", async (request, response) => {
  const before = request.session.tokens;
  const tokens = await client.refreshTokenGrant(config, before.refresh_token);
  const userinfo = await client.fetchUserInfo(config, tokens.access_token, request.session.claims.sub);
  response.json({ ...userinfo, rotated: tokens.refresh_token !== before.refresh_token });
});

app.get("/logout", (request, response) => {
  const url = client.buildEndSessionUrl(config, {
    id_token_hint: request.session.tokens.id_token,
    post_logout_redirect_uri: `${BASE}/bye`,
  });
  request.session.destroy(() => response.redirect(url.href));
});
app.get("/bye", (_, response) => response.json({ bye: true }));
app.listen(Number(PORT), "127.0.0.1");
