// The page behind an app-portal link: an application's endpoints and their latest attempts, read from
// the API with the token of the link. The token is in the fragment, so no server's log ever has it.
"use strict";

const place = (id) => document.getElementById(id);
const say = (words) => { place("note").textContent = words; place("note").hidden = !words; };

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function readKey() {
  const packed = new URLSearchParams(location.hash.slice(1)).get("key");
  if (packed) {
    const bytes = atob(packed.replaceAll("-", "+").replaceAll("_", "/"));
    sessionStorage.setItem("key", bytes);
    history.replaceState(null, "", location.pathname); // keep the token out of the history
  }
  return JSON.parse(sessionStorage.getItem("key") ?? "null");
}

async function call(key, path, method = "GET") {
  const headers = { authorization: `Bearer ${key.token}` };
  const answer = await fetch(`/api/v1${path}`, { method, headers });
  if (!answer.ok) {
    const ended = answer.status === 401;
    throw new Error(ended ? "This link has expired. Ask for a new one." : `The server answered ${answer.status}.`);
  }
  return answer.status === 204 ? null : answer.json();
}

function row(cells) {
  const made = element("tr");
  for (const [text, kind] of cells) made.append(element("td", text, kind));
  return made;
}

async function show(key, app, endpoint) {
  const box = element("details");
  const head = element("summary");
  head.append(element("code", endpoint.url));
  head.append(element("span", endpoint.disabled ? "disabled" : endpoint.description));
  box.append(head);
  const types = endpoint.eventTypes ? endpoint.eventTypes.join(", ") : "every event type";
  box.append(element("p", `Receives ${types}.`));
  place("endpoints").append(box);
  const attempts = await call(key, `/app/${app}/attempt/endpoint/${endpoint.id}?limit=20&with_content=false`);
  const table = element("table");
  for (const attempt of attempts.data) {
    const good = attempt.status === 0;
    const answer = attempt.responseStatusCode || "no answer";
    table.append(row([
      [new Date(attempt.timestamp).toLocaleString()],
      [good ? "delivered" : "failed", good ? "good" : "bad"],
      [`${answer}`],
      [`${attempt.responseDurationMs} ms`],
      [attempt.msgId],
    ]));
  }
  box.append(attempts.data.length ? table : element("p", "Nothing has been sent here yet."));
}

async function main() {
  const key = readKey();
  if (!key) return say("Open this page through a portal link.");
  const app = encodeURIComponent(key.appId);
  place("logout").hidden = false;
  place("logout").addEventListener("click", async () => {
    await call(key, "/auth/logout", "POST").catch(() => null);
    sessionStorage.removeItem("key");
    place("endpoints").replaceChildren();
    place("logout").hidden = true;
    say("You are logged out.");
  });
  place("name").textContent = (await call(key, `/app/${app}`)).name;
  let page = { done: false };
  let after = "";
  let any = false;
  say("");
  while (!page.done) {
    page = await call(key, `/app/${app}/endpoint?limit=50${after}`);
    after = `&iterator=${page.iterator}`;
    for (const endpoint of page.data) { any = true; await show(key, app, endpoint); }
  }
  if (!any) say("This application has no endpoints yet.");
}

main().catch((error) => say(error.message));
