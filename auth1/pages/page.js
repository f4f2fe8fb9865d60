"use strict";
(() => {
  const find = (name) => document.querySelector(`[data-${name}]`);

  // Until the server allows another code, its buttons are replaced by the time that remains.
  const countdown = find("resend-after");
  if (countdown) {
    const buttons = document.querySelectorAll("[data-resend]");
    const ends = performance.now() + 1000 * countdown.dataset.resendAfter;
    const show = () => {
      const seconds = Math.ceil((ends - performance.now()) / 1000);
      for (const button of buttons) button.hidden = seconds > 0;
      countdown.hidden = seconds <= 0;
      if (seconds <= 0) return;
      const parts = seconds < 3600 ? [Math.floor(seconds / 60)] : [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
      const rest = [...parts.slice(1), seconds % 60].map((part) => String(part).padStart(2, "0"));
      countdown.textContent = countdown.dataset.text.replace("{time}", [parts[0], ...rest].join(":"));
      setTimeout(show, 250);
    };
    show();
  }

  // The delivery of the message: often at first, then less and less, for two minutes. A link is awaited until it expires.
  const delivery = find("status");
  if (delivery) {
    const every = Number(delivery.dataset.every);
    let wait = 2000;
    const poll = async () => {
      const response = await fetch(delivery.dataset.status, { cache: "no-store" }).catch(() => null);
      if (response && response.ok) {
        const status = await response.json();
        if (status.reload) return location.reload();
        if (delivery.textContent !== status.text) delivery.textContent = status.text;
        if (status.final) return;
      }
      if (every || (wait *= 2) <= 64000) setTimeout(poll, every || wait);
    };
    setTimeout(poll, wait);
  }

  // The code of an SMS, where the browser can read it. Typing ends the wait.
  const code = find("webotp");
  if (code && "OTPCredential" in window) {
    const abort = new AbortController();
    code.form.addEventListener("submit", () => abort.abort());
    navigator.credentials
      .get({ otp: { transport: ["sms"] }, signal: abort.signal })
      .then((otp) => {
        code.value = otp.code;
        code.form.requestSubmit(find("submit"));
      })
      .catch(() => {});
  }

  // Proof of work: find the number whose SHA-256 after `salt` is `challenge`.
  const proof = find("proof");
  if (proof) {
    const { algorithm, challenge, salt, signature, maxnumber } = JSON.parse(proof.dataset.proof);
    const encoder = new TextEncoder();
    const BATCH = 512;
    const hash = async (number) => {
      const digest = new Uint8Array(await crypto.subtle.digest(algorithm, encoder.encode(salt + number)));
      return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    };
    const solve = async () => {
      for (let first = 0; first <= maxnumber; first += BATCH) {
        const numbers = Array.from({ length: BATCH }, (_, index) => first + index);
        const found = (await Promise.all(numbers.map(hash))).indexOf(challenge);
        if (found >= 0) return first + found;
      }
      throw new Error("no solution");
    };
    solve()
      .then((number) => {
        proof.value = btoa(JSON.stringify({ algorithm, challenge, number, salt, signature }));
        proof.form.submit();
      })
      .catch(() => {
        find("proof-failed").hidden = false;
      });
  }

  // A response by form_post, or a link that was opened; otherwise they need a press of the button.
  const answer = find("answer");
  if (answer) answer.submit();
})();
