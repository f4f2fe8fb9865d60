"use strict";
// Adds to the page: search, copy buttons, this server's address in commands, and "Try it". All text is there without it.
(() => {
  const CREDENTIALS = {
    publishableKey: ["x-api-key", ""], secretKey: ["x-api-key", ""], testKey: ["x-api-key", ""],
    sessionToken: ["authorization", "Bearer "], adminToken: ["authorization", "Bearer "],
    metricsToken: ["authorization", "Bearer "],
  };
  const kept = new Map();  // what was typed, for the next form; gone with the page
  let description;

  const make = (name, attributes = {}, ...children) => {
    const element = Object.assign(document.createElement(name), attributes);
    element.append(...children);
    return element;
  };

  const find = (id) => {
    for (const [path, methods] of Object.entries(description.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.operationId === id) return { path, method, operation };
      }
    }
  };

  const input = (form, name, label, value = "") => {
    const field = make("input", { name, value: kept.get(name) ?? value, autocomplete: "off", spellcheck: false });
    form.append(make("label", {}, label, field));
    return field;
  };

  const credentials = (form, operation) => {
    const schemes = new Set((operation.security ?? []).flatMap(Object.keys));
    const headers = new Map();
    for (const scheme of schemes) {
      const [header, prefix] = CREDENTIALS[scheme];
      if (headers.has(header)) continue;
      const label = header === "x-api-key" ? "x-api-key" : `authorization: ${prefix}…`;
      headers.set(header, { prefix, field: input(form, `credential ${header} ${scheme}`, label) });
    }
    return headers;
  };

  const open = async (article, button) => {
    description ??= await (await fetch("/openapi.json")).json();
    const { path, method, operation } = find(article.id);
    const form = make("form", { className: "try" });
    form.setAttribute("aria-label", `Try ${method.toUpperCase()} ${path}`);
    const headers = credentials(form, operation);
    const given = (operation.parameters ?? []).map((parameter) => {
      const example = parameter.in === "path" ? parameter.example : "";
      return [parameter, input(form, parameter.name, parameter.name, example)];
    });
    const content = Object.entries(operation.requestBody?.content ?? {})[0];
    let body;
    if (content) {
      const [, media] = content;
      const example = media.example ?? Object.values(media.examples ?? {})[0]?.value ?? {};
      body = make("textarea", { rows: 6, value: JSON.stringify(example, null, 2), spellcheck: false });
      form.append(make("label", {}, "Body", body));
    }
    const result = make("figure", { hidden: true });
    result.setAttribute("role", "status");
    form.append(make("button", { type: "submit" }, "Send"));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const query = new URLSearchParams();
      const request = { method: method.toUpperCase(), headers: {} };
      let target = path;
      for (const [parameter, field] of given) {
        kept.set(parameter.name, field.value);
        if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(field.value));
        else if (field.value && parameter.in === "query") query.set(parameter.name, field.value);
        else if (field.value) request.headers[parameter.name] = field.value;
      }
      for (const [header, { prefix, field }] of headers) {
        kept.set(field.name, field.value);
        if (field.value) request.headers[header] = prefix + field.value.trim();
      }
      if (body) {
        request.headers["content-type"] = content[0];
        request.body = body.value;
      }
      let head, text;
      try {
        const answer = await fetch(target + (query.size ? `?${query}` : ""), request);
        head = `${answer.status} ${answer.headers.get("x-request-id") ?? ""}`;
        text = await answer.text();
        try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* shown as it came */ }
      } catch (error) {
        head = "No answer";
        text = String(error);
      }
      result.replaceChildren(make("figcaption", {}, head), make("pre", { tabIndex: 0 }, text));
      result.hidden = false;
    });
    button.replaceWith(form);
    form.after(result);
    form.querySelector("input, textarea, button").focus();
  };

  const search = (nav) => {
    const field = make("input", { type: "search", autocomplete: "off", spellcheck: false });
    const found = make("p", { className: "found" });
    found.setAttribute("role", "status");
    const items = [...nav.querySelectorAll("li")];
    const groups = [...nav.querySelectorAll("details")];
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const item of items) {
        const text = `${item.textContent.toLowerCase()} ${item.dataset.words}`;
        item.hidden = !words.every((word) => text.includes(word));
      }
      for (const list of nav.querySelectorAll("ul")) list.hidden = !list.querySelector("li:not([hidden])");
      for (const group of groups) {
        group.hidden = !group.querySelector("li:not([hidden])");
        group.open = words.length > 0;
      }
      const count = items.filter((item) => !item.hidden).length;
      found.textContent = words.length ? `${count} ${count === 1 ? "operation" : "operations"}` : "";
    });
    nav.prepend(make("label", { className: "search" }, "Search operations", field), found);
  };

  const addCopy = (figure) => {
    const code = figure.querySelector("pre");
    const button = make("button", { type: "button", className: "copy" }, "Copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not copied";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    figure.querySelector("figcaption").append(button);
  };

  const host = document.documentElement.dataset.host;
  for (const figure of document.querySelectorAll("figure")) {
    const code = figure.querySelector("pre");
    if (code.textContent.startsWith("curl ")) code.textContent = code.textContent.replace(host, location.origin);
    if (navigator.clipboard) addCopy(figure);
  }
  search(document.querySelector("nav > details > div"));

  for (const article of document.querySelectorAll("article")) {
    const sheets = article.querySelector(".sheets");
    if (!sheets) continue;
    const button = make("button", { type: "button" }, "Try it");
    button.addEventListener("click", () => open(article, button));
    sheets.prepend(button);
  }
})();
