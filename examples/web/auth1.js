// A small client of Auth1: requests, PKCE, and a pair of tokens that all tabs share.

const API = document.querySelector("meta[name=auth1-url]").content;
const HOME = new URL(".", location.href).href; // must be one of the tenant's redirect_uris
const KEY = "auth1.key";
const TOKENS = "auth1.tokens";
const VERIFIER = "auth1.code_verifier";
const LOCK = "auth1.tokens";
const REFRESH_BEFORE_MS = 30_000;
const SESSION_ENDED = ["invalid_token", "token_reused", "session_revoked"];

/** An error response (RFC 9457). `message` is a sentence; `code` is one of a closed set. */
export class ApiError extends Error {
  constructor({ status = 0, code = "unreachable", detail, proof }) {
    super(detail);
    this.status = status;
    this.code = code;
    this.proof = proof;
  }
}

export const getKey = () => localStorage.getItem(KEY);
export const setKey = (key) => localStorage.setItem(KEY, key);

/** Return the tokens of the session, or null. */
export const getTokens = () => JSON.parse(localStorage.getItem(TOKENS));

/** Call `listener` when another tab signs in, refreshes or signs out. */
export function onChange(listener) {
  addEventListener("storage", (event) => [KEY, TOKENS, null].includes(event.key) && listener());
}

/** Send a code by SMS. The response has the challenge_id that `verifyCode` needs. */
export function sendCode(phone, challengeId) {
  return request({ phone, ...(challengeId && { challenge_id: challengeId }) });
}

/** Sign in with a code. */
export async function verifyCode(phone, code, challengeId) {
  store(await call("POST", "/api/auth/verify", { phone, code, challenge_id: challengeId }));
}

/** Send a link by email. It leads back to this page with ?code=…, which only this browser can exchange (PKCE). */
export async function sendLink(email) {
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const sent = await request({
    email,
    mode: "link",
    redirect_to: HOME,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: "S256",
  });
  localStorage.setItem(VERIFIER, verifier); // the link may open in another tab
  return sent;
}

/** Sign in with the code that a link brought. */
export async function exchangeCode(code) {
  const verifier = localStorage.getItem(VERIFIER);
  if (verifier === null) throw new Error("Open the link in the browser where you requested it.");
  store(await call("POST", "/api/auth/token", { grant_type: "authorization_code", code, code_verifier: verifier }));
  localStorage.removeItem(VERIFIER);
}

/** Call a route of the signed-in user. Refreshes the tokens first if they expire soon. */
export async function authorized(method, path, body) {
  const used = getTokens()?.expires_at - Date.now() > REFRESH_BEFORE_MS ? getTokens() : await refresh();
  try {
    return await call(method, path, body, used.token);
  } catch (error) {
    if (error.code === "token_expired") return call(method, path, body, (await refresh(used)).token);
    throw endIfRevoked(error);
  }
}

/** Replace the tokens. One tab at a time refreshes; the others use its result. */
export function refresh(used = getTokens()) {
  return navigator.locks.request(LOCK, async () => {
    const current = getTokens();
    if (current === null) throw new Error("You're signed out.");
    if (current.refresh_token !== used?.refresh_token) return current; // another tab was first
    try {
      return store(
        await call("POST", "/api/auth/token", { grant_type: "refresh_token", refresh_token: current.refresh_token }),
      );
    } catch (error) {
      throw endIfRevoked(error); // after an outage the same refresh token works again
    }
  });
}

/** End this session, or with the scope `others` all other sessions of the user. */
export async function signOut(scope = "local") {
  await authorized("POST", "/api/auth/logout", { scope });
  if (scope !== "others") await navigator.locks.request(LOCK, () => localStorage.removeItem(TOKENS));
}

function store({ token, refresh_token, expires_in, user_id, session_id }) {
  const tokens = { token, refresh_token, user_id, session_id, expires_at: Date.now() + expires_in * 1000 };
  localStorage.setItem(TOKENS, JSON.stringify(tokens));
  return tokens;
}

function endIfRevoked(error) {
  if (SESSION_ENDED.includes(error.code)) localStorage.removeItem(TOKENS);
  return error;
}

/** Request a code or link. A doubtful request needs proof of work: this tab solves it, and sends the request again. */
async function request(body) {
  try {
    return await call("POST", "/api/auth/request", body);
  } catch (error) {
    if (error.proof?.kind !== "pow") throw error;
    return call("POST", "/api/auth/request", { ...body, proof: await solve(error.proof) });
  }
}

/** Solve proof of work: find the number whose SHA-256 after `salt` is `challenge`. */
async function solve({ algorithm, challenge, salt, signature, maxnumber }) {
  const encoder = new TextEncoder();
  for (let number = 0; number <= maxnumber; number++) {
    const digest = await crypto.subtle.digest(algorithm, encoder.encode(salt + number));
    const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (hex === challenge) {
      return { kind: "pow", payload: btoa(JSON.stringify({ algorithm, challenge, number, salt, signature })) };
    }
  }
}

async function call(method, path, body, token) {
  const headers = { "x-api-key": getKey() };
  if (body) headers["content-type"] = "application/json";
  if (token) headers.authorization = `Bearer ${token}`;
  const request = { method, headers, body: body && JSON.stringify(body), cache: "no-store", credentials: "omit" };
  const response = await fetch(API + path, request).catch(() => {
    throw new ApiError({ detail: `${API} can't be reached. Start it with: auth1 dev` });
  });
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({ status: response.status, detail: "Unexpected response." }));
  if (!response.ok) throw new ApiError(answer);
  return answer;
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
