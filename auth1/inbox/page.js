"use strict";
// Texts of messages are put into the page as text, never as HTML.
const list = document.getElementById("list");
const view = document.getElementById("view");
const state = document.getElementById("state");
const empty = view.firstElementChild.cloneNode(true);
const headers = { "x-auth1-inbox": "1" };
const PATH = "/dev/inbox/messages";
const INTERVAL_MS = 1000;
let messages = [];
let selected = null;
let etag = "";

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function findCode(text) {
  const found = text.match(/(?<![\d+.])\d{4,12}(?!\d)/);
  return found ? found[0] : null;
}

function bubble(text) {
  const made = element("p", undefined, "sms");
  const code = findCode(text);
  const at = code === null ? -1 : text.indexOf(code);
  if (at < 0) {
    made.textContent = text;
  } else {
    made.append(text.slice(0, at), element("b", code), text.slice(at + code.length));
  }
  return made;
}

function show(message) {
  selected = message.id;
  const when = new Date(message.sent_at * 1000).toLocaleTimeString();
  const parts = [element("h2", message.subject || "SMS"), element("p", `To ${message.to} at ${when}`, "to")];
  const code = findCode(message.subject || message.text) || findCode(message.text);
  if (code !== null) {
    const actions = element("div", undefined, "actions");
    const copy = element("button", `Copy code ${code}`);
    copy.type = "button";
    copy.onclick = () => navigator.clipboard.writeText(code).then(() => { copy.textContent = "Copied"; });
    actions.append(copy);
    parts.push(actions);
  }
  if (message.channel === "email") {
    const frame = element("iframe");
    frame.title = "Email";
    frame.setAttribute("sandbox", "allow-popups allow-popups-to-escape-sandbox");
    frame.src = `${PATH}/${encodeURIComponent(message.id)}`;
    parts.push(frame);
  } else {
    parts.push(bubble(message.text));
  }
  view.replaceChildren(...parts);
  mark();
}

function mark() {
  for (const button of list.querySelectorAll("button")) {
    if (button.dataset.id === selected) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

function render(found) {
  const wasNewest = selected === null || (messages.length > 0 && selected === messages[0].id);
  const isNew = found.length > 0 && (messages.length === 0 || found[0].id !== messages[0].id);
  messages = found;
  list.replaceChildren(...found.map((message) => {
    const item = element("li");
    const button = element("button");
    button.type = "button";
    button.dataset.id = message.id;
    button.append(element("strong", message.to), element("span", message.subject || message.text));
    button.onclick = () => show(message);
    item.append(button);
    return item;
  }));
  state.textContent = found.length === 1 ? "1 message" : found.length === 0 ? "Waiting for messages…" : `${found.length} messages`;
  if (found.length === 0) {
    selected = null;
    view.replaceChildren(empty.cloneNode(true));
  } else if (isNew && wasNewest) {
    show(found[0]);
  } else {
    mark();
  }
}

async function poll() {
  try {
    const answer = await fetch(PATH, { headers: { ...headers, "if-none-match": etag }, cache: "no-store" });
    if (answer.ok) {
      etag = answer.headers.get("etag") || "";
      render((await answer.json()).data);
    } else if (answer.status !== 304) {
      state.textContent = "The inbox is unavailable.";
    }
  } catch {
    etag = "";
    state.textContent = "auth1 dev is not running.";
  }
  setTimeout(poll, INTERVAL_MS);
}

document.getElementById("clear").onclick = () => fetch(PATH, { method: "DELETE", headers });
poll();
