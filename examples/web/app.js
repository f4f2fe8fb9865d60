// The page: forms, and one view at a time. Texts of the API are put in as text, never as HTML.

import * as auth1 from "./auth1.js";

const $ = (id) => document.getElementById(id);
const VIEWS = ["key", "sign-in", "code", "account"];
let challenge = null; // a code on its way: phone and challenge_id
let resendTimer;

function show(view, focus) {
  const changed = $(`${view}-view`).hidden;
  for (const name of VIEWS) $(`${name}-view`).hidden = name !== view;
  if (changed && focus) $(focus).focus();
}

/** Show what the stored key and tokens call for. */
async function render() {
  if (!auth1.getKey()) return show("key", "key");
  if (!auth1.getTokens()) return challenge ? show("code", "code") : show("sign-in", "phone");
  challenge = null;
  const [me, sessions] = await Promise.all([
    auth1.authorized("GET", "/api/auth/me"),
    auth1.authorized("GET", "/api/auth/me/sessions"),
  ]);
  $("identifier").textContent = me.phone ?? me.email;
  $("user").textContent = me.user_id;
  $("expiry").textContent = new Date(auth1.getTokens().expires_at).toLocaleTimeString();
  $("sessions").replaceChildren(...sessions.data.map(sessionItem));
  show("account", "account");
}

function sessionItem(session) {
  const item = document.createElement("li");
  const browser = session.user_agent?.match(/Firefox|Edg|Chrome|Safari/)?.[0] ?? "Unknown browser";
  const opened = new Date(session.created_at).toLocaleString();
  const text = document.createElement("span");
  text.textContent = `${session.device_name ?? browser}, signed in ${opened}`;
  item.append(text);
  if (session.current) {
    text.textContent += " (this session)";
  } else {
    const end = document.createElement("button");
    end.type = "button";
    end.className = "secondary";
    end.textContent = "End";
    end.setAttribute("aria-label", `End ${text.textContent}`);
    end.onclick = run(async () => {
      await auth1.authorized("DELETE", `/api/auth/me/sessions/${session.session_id}`);
      return "The session has ended.";
    });
    item.append(end);
  }
  return item;
}

/** Return an event handler that runs `action`, shows its message or error, and then renders. */
function run(action) {
  return async (event) => {
    event?.preventDefault();
    const button = event?.submitter ?? event?.currentTarget;
    if (button?.ariaDisabled) return;
    if (button) button.ariaDisabled = "true"; // `disabled` would lose the focus
    $("error").textContent = $("status").textContent = "";
    try {
      $("status").textContent = (await action()) ?? "";
    } catch (error) {
      $("error").textContent = error.message;
    }
    if (button) button.ariaDisabled = null;
    await render().catch((error) => {
      $("error").textContent = error.message;
      if (!auth1.getTokens()) show("sign-in", "phone"); // the session ended elsewhere
    });
  };
}

async function sendCode(phone, challengeId) {
  const sent = await auth1.sendCode(phone, challengeId);
  challenge = { phone, id: sent.challenge_id };
  clearTimeout(resendTimer);
  $("resend").hidden = true;
  resendTimer = setTimeout(() => ($("resend").hidden = false), sent.resend_after * 1000);
  return `We sent a code to ${sent.destination}.`;
}

$("key-form").onsubmit = run(() => auth1.setKey($("key").value.trim()));
$("phone-form").onsubmit = run(() => sendCode($("phone").value.replace(/[\s().-]/g, "")));
$("email-form").onsubmit = run(async () => {
  const sent = await auth1.sendLink($("email").value.trim());
  return `We sent a link to ${sent.destination}. Open it in this browser.`;
});
$("code-form").onsubmit = run(async () => {
  const code = $("code").value;
  $("code").value = "";
  await auth1.verifyCode(challenge.phone, code, challenge.id);
  return "You're signed in.";
});
$("resend").onclick = run(() => sendCode(challenge.phone, challenge.id));
$("back").onclick = run(() => void (challenge = null));
$("refresh").onclick = run(async () => {
  await auth1.refresh();
  return "The tokens are new.";
});
$("sign-out-others").onclick = run(async () => {
  await auth1.signOut("others");
  return "All other sessions have ended.";
});
$("sign-out").onclick = run(async () => {
  await auth1.signOut();
  return "You're signed out.";
});

// ?key=… saves a publishable key; ?code=… comes from a link. Neither stays in the address.
const query = new URLSearchParams(location.search);
history.replaceState(null, "", location.pathname);
if (query.has("key")) auth1.setKey(query.get("key"));
auth1.onChange(run(() => {}));
run(async () => {
  if (!query.has("code")) return;
  await auth1.exchangeCode(query.get("code"));
  return "You're signed in.";
})();
