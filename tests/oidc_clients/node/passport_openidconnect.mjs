// A web application with passport-openidconnect, which reads no discovery document and uses no PKCE.
import express from "express";
import session from "express-session";
import passport from "passport";
import OpenIDConnectStrategy from "passport-openidconnect";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, URL: BASE, PORT } = process.env;
passport.use(
  new OpenIDConnectStrategy(
    {
      issuer: ISSUER,
      authorizationURL: `${ISSUER}/authorize`,
      tokenURL: `${ISSUER}/token`,
      userInfoURL: `${ISSUER}/userinfo`,
      clientID: CLIENT_ID,
      clientSecret: CLIENT_SECRET,
      callbackURL: `${BASE}/callback`,
      scope: ["email"],
    },
    (issuer, profile, context, idToken, accessToken, refreshToken, done) => done(null, { profile, idToken }),
  ),
);
passport.serializeUser((user, done) => done(null, user));
passport.deserializeUser((user, done) => done(null, user));
const app = express();
app.use(session({ secret: "test", resave: false, saveUninitialized: false }));
app.use(passport.authenticate("session"));
const login = passport.authenticate("openidconnect", { failWithError: true });
app.get("/callback", login, (_, response) => response.redirect("/"));
app.get("/logout", (request, response, next) => {
  const hint = request.user.idToken;
  const to = new URLSearchParams({ id_token_hint: hint, post_logout_redirect_uri: `${BASE}/bye` });
  request.logout((error) => (error ? next(error) : response.redirect(`${ISSUER}/logout?${to}`)));
});
app.get("/bye", (_, response) => response.json({ bye: true }));
app.get("/", (request, response, next) => {
  if (!request.user) return login(request, response, next);
  const { id, emails } = request.user.profile;
  response.json({ sub: id, email: emails[0].value });
});
app.listen(Number(PORT), "127.0.0.1");
