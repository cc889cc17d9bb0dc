// The first page of the portal: an application's endpoints and their latest attempts, read from the API.
// The key of the link is in the fragment, so no server's log ever has it; it is exchanged for a cookie that
// this script cannot read, and then taken out of the address.
"use strict";

const place = (id) => document.getElementById(id);
const say = (words) => { place("note").textContent = words; place("note").hidden = !words; };

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

async function call(path, method = "GET", body = undefined) {
  const headers = { "x-angarium-portal": "1", "content-type": "application/json" };
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), credentials: "same-origin" });
  if (!answer.ok) {
    const ended = answer.status === 401;
    throw new Error(ended ? "This link has expired. Ask for a new one." : `The server answered ${answer.status}.`);
  }
  return answer.status === 204 ? null : answer.json();
}

async function enter() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (!key) return call("/login/session");
  history.replaceState(null, "", location.pathname + location.search); // keep the key out of the history
  return call("/login/session", "POST", { key });
}

function paint() {
  const query = new URLSearchParams(location.search);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const colour = query.get(dark ? "primaryColorDark" : "primaryColorLight");
  if (/^[0-9a-f]{6}$/i.test(colour ?? "")) document.documentElement.style.setProperty("--accent", `#${colour}`);
}

function row(cells) {
  const made = element("tr");
  for (const [text, kind] of cells) made.append(element("td", text, kind));
  return made;
}

async function show(app, endpoint, wanted) {
  const box = element("details");
  box.id = endpoint.id;
  const head = element("summary");
  head.append(element("code", endpoint.url));
  head.append(element("span", endpoint.disabled ? "disabled" : endpoint.description));
  box.append(head);
  const types = endpoint.eventTypes ? endpoint.eventTypes.join(", ") : "every event type";
  box.append(element("p", `Receives ${types}.`));
  place("endpoints").append(box);
  const attempts = await call(`/api/v1/app/${app}/attempt/endpoint/${endpoint.id}?limit=20&with_content=false`);
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
  if (wanted) { box.open = true; box.scrollIntoView(); }
}

async function main() {
  paint();
  const session = await enter();
  const app = encodeURIComponent(session.application.id);
  place("logout").hidden = false;
  place("logout").addEventListener("click", async () => {
    await call("/login/session", "DELETE").catch(() => null);
    place("endpoints").replaceChildren();
    place("logout").hidden = true;
    say("You are logged out.");
  });
  place("name").textContent = session.application.name;
  // a link may lead to one endpoint: ?next=/endpoints/ep_…
  const next = /^\/endpoints\/(\w+)$/.exec(new URLSearchParams(location.search).get("next") ?? "");
  let page = { done: false };
  let after = "";
  let any = false;
  say("");
  while (!page.done) {
    page = await call(`/api/v1/app/${app}/endpoint?limit=50${after}`);
    after = `&iterator=${page.iterator}`;
    for (const endpoint of page.data) { any = true; await show(app, endpoint, next?.[1] === endpoint.id); }
  }
  if (!any) say("This application has no endpoints yet.");
}

main().catch((error) => say(error.message));
