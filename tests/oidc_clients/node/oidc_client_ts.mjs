// The server of a single-page application: it serves the page and the library, and knows no secret.
import { readFileSync } from "node:fs";
import express from "express";

const { ISSUER, CLIENT_ID, APPLICATION, PORT } = process.env;
const library = new URL("./node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js", import.meta.url);
const scripts = [
  readFileSync(library),
  `const settings = ${JSON.stringify({ authority: ISSUER, client_id: CLIENT_ID })};`,
  readFileSync(APPLICATION),
].join("\n");
const app = express();
app.get("/scripts.js", (_, response) => response.type("js").send(scripts));
app.get(["/", "/callback", "/bye"], (_, response) => {
  response.send(`<!doctype html><title>Notes</title><main></main>
    <button id="refresh">Refresh</button> <button id="logout">Log out</button> <script src="/scripts.js"></script>`);
});
app.listen(Number(PORT), "127.0.0.1");
