// A web application with express-openid-connect, by its configuration alone.
import express from "express";
import eoc from "express-openid-connect";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, URL: BASE, PORT } = process.env;
const app = express();
app.get("/bye", (_, response) => response.json({ bye: true }));
app.use(
  eoc.auth({
    issuerBaseURL: ISSUER,
    baseURL: BASE,
    clientID: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    secret: "a secret of thirty-two characters.",
    idpLogout: true,
    routes: { postLogoutRedirect: "/bye" },
    authorizationParams: { response_type: "code", scope: "openid email offline_access" },
  }),
);
app.get("/", (request, response) => response.json(request.oidc.user));
app.get("/refresh", async (request, response) => {
  const before = request.oidc.refreshToken;
  await request.oidc.accessToken.refresh();
  response.json({ ...(await request.oidc.fetchUserInfo()), rotated: request.oidc.refreshToken !== before });
});
app.listen(Number(PORT), "127.0.0.1");
