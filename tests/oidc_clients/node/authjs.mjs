// A web application with Auth.js (@auth/express), by its configuration alone. It has no logout at the provider.
import express from "express";
import { ExpressAuth, getSession } from "@auth/express";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, URL: BASE, PORT } = process.env;
const config = {
  secret: "a secret of thirty-two characters.",
  trustHost: true,
  providers: [
    {
      id: "auth1",
      name: "Auth1",
      type: "oidc",
      issuer: ISSUER,
      clientId: CLIENT_ID,
      clientSecret: CLIENT_SECRET,
      checks: ["pkce", "state", "nonce"],
      authorization: { params: { scope: "openid email" } },
    },
  ],
  callbacks: {
    jwt: ({ token, profile }) => (profile ? { ...token, profile } : token),
    session: ({ session, token }) => ({ ...session, claims: token.profile }),
  },
};
const app = express();
app.set("trust proxy", true);
app.use("/auth", ExpressAuth(config));
app.get("/", async (request, response) => {
  const session = await getSession(request, config);
  if (session) return response.json(session.claims);
  // The sign-in of Auth.js is a form with its CSRF token.
  const csrf = await fetch(`${BASE}/auth/csrf`);
  for (const cookie of csrf.headers.getSetCookie()) response.append("set-cookie", cookie);
  const { csrfToken } = await csrf.json();
  response.send(`<form method="post" action="/auth/signin/auth1" data-rp>
    <input type="hidden" name="csrfToken" value="${csrfToken}"><input type="hidden" name="callbackUrl" value="${BASE}/"></form>`);
});
app.listen(Number(PORT), "127.0.0.1");
