// A single-page application with oidc-client-ts. Its state is the text of <main>, as JSON.
const manager = new oidc.UserManager({
  ...settings,
  redirect_uri: `${location.origin}/callback`,
  post_logout_redirect_uri: `${location.origin}/bye`,
  scope: "openid email",
  loadUserInfo: true,
});

function show(value) {
  document.querySelector("main").textContent = JSON.stringify(value);
}

async function start() {
  if (location.pathname === "/bye") return show({ bye: true });
  if (location.pathname === "/callback") {
    await manager.signinCallback();
    return location.replace("/");
  }
  const user = await manager.getUser();
  if (!user) return manager.signinRedirect();
  show(user.profile);
}

document.querySelector("#refresh").addEventListener("click", async () => {
  const before = await manager.getUser();
  const user = await manager.signinSilent(); // by its refresh token
  show({ ...user.profile, rotated: user.refresh_token !== before.refresh_token });
});
document.querySelector("#logout").addEventListener("click", () => manager.signoutRedirect());
start().catch((error) => show({ error: String(error) }));
