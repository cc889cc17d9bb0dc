// Scripts of the portal: local times, copying, live updates, and the height of an embedded page.
// Their texts come from the page, in data attributes.
"use strict";

const each = (root, selector, act) => {
  if (root.matches?.(selector)) act(root);
  root.querySelectorAll(selector).forEach(act);
};

const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const units = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];

const exactly = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "always" });
const roughly = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });

function relative(seconds) {
  const length = Math.abs(seconds);
  if (length < 10 && seconds <= 1) return roughly.format(0, "second");
  const [unit, size] = units.find(([, size]) => length >= size) ?? ["second", 1];
  return exactly.format(Math.sign(seconds) * Math.floor(length / size), unit);
}

// countdowns use the server's clock, because the browser's may be wrong
const ahead = Number(document.documentElement.dataset.now) - Date.now();

function showTime(element) {
  const at = new Date(element.dateTime);
  const utc = element.dateTime.replace("T", " ").replace("Z", " UTC");
  if (element.hasAttribute("data-relative")) {
    element.title = `${local.format(at)} (${utc})`;
    element.textContent = relative((at - Date.now() - ahead) / 1000);
  } else {
    element.title = utc;
    element.textContent = local.format(at);
  }
}

function prepare(root) {
  each(root, "time[datetime]", showTime);
  each(root, "[data-copy]", (button) => { button.hidden = false; });
  each(root, "[data-needs-scripts]", (element) => { element.hidden = false; });
  each(root, "[data-live]", listen);
  each(root, "[data-local]", showLocal);
  each(root, "[data-zone]", (element) => { element.textContent = element.dataset.zone; });
}

// <div data-live="/path"> listens to server-sent events and triggers the htmx event `news` on itself. If the stream
// fails, it triggers `news` every few seconds instead. A hidden page does not listen: a browser opens few
// connections to one server.
function listen(element) {
  if (element.hush) return;
  let source = null;
  let polling = null;
  const news = () => { if (!element.paused) window.htmx.trigger(element, "news"); };
  const end = () => { source?.close(); clearInterval(polling); };
  const begin = () => {
    let failures = 0;
    source = new EventSource(element.dataset.live);
    source.onopen = () => { failures = 0; };
    source.onmessage = news;
    source.onerror = () => {
      failures += 1;
      if (source.readyState !== EventSource.CLOSED && failures < 3) return;
      end();
      polling = setInterval(news, 5000);
    };
  };
  const turn = () => { end(); if (!document.hidden) begin(); };
  element.hush = () => { end(); document.removeEventListener("visibilitychange", turn); };
  document.addEventListener("visibilitychange", turn);
  if (!document.hidden) begin();
}
document.addEventListener("htmx:beforeCleanupElement", (event) => event.target.hush?.());

// new rows are highlighted for a moment, and open details stay open
let known = null;
let folded = new Map();
document.addEventListener("htmx:beforeSwap", (event) => {
  const live = event.detail.elt?.closest?.("[data-live]");
  known = live ? new Set([...live.querySelectorAll("[data-line]")].map((line) => line.id)) : null;
  folded = new Map(live ? [...live.querySelectorAll("details[id]")].map((one) => [one.id, one.open]) : []);
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (!known) return;
  each(event.target, "[data-line]", (line) => { if (!known.has(line.id)) line.classList.add("fresh"); });
  each(event.target, "details[id]", (one) => { if (folded.has(one.id)) one.open = folded.get(one.id); });
});
// reload when the session has ended, to show the error page
document.addEventListener("htmx:responseError", (event) => { if (event.detail.xhr.status === 401) location.reload(); });

// <input type="datetime-local" data-local>: UTC in URLs and forms, local time in the input
function showLocal(input) {
  if (input.local) return;
  input.local = true;
  if (!input.value) return;
  const at = new Date(`${input.value}Z`);
  input.value = new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}
document.addEventListener("formdata", (event) => each(event.target, "[data-local]", (input) => {
  if (input.value) event.formData.set(input.name, new Date(input.value).toISOString().slice(0, 16));
}));

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    const words = button.textContent;
    button.textContent = button.dataset.copied;
    setTimeout(() => { button.textContent = words; }, 1500);
  }
  const pause = event.target.closest("[data-pause]");
  if (pause) {
    const live = document.getElementById(pause.dataset.pause);
    live.paused = !live.paused;
    pause.setAttribute("aria-pressed", String(live.paused));
    [pause.textContent, pause.dataset.resume] = [pause.dataset.resume, pause.textContent];
    if (!live.paused) window.htmx.trigger(live, "news");
  }
});
// a select or checkbox with data-submits submits its form on change; without scripts there is a button
document.addEventListener("change", (event) => {
  if (event.target.closest("[data-submits]")) event.target.form.requestSubmit();
});

// a choice within data-chooses="id" also selects that radio button
document.addEventListener("change", (event) => {
  const within = event.target.closest("[data-chooses]");
  if (within) document.getElementById(within.dataset.chooses).checked = true;
});
// a search field with data-filters="id" hides entries of that element that do not match
document.addEventListener("input", (event) => {
  const field = event.target.closest("[data-filters]");
  if (!field) return;
  const wanted = field.value.trim().toLowerCase();
  const list = document.getElementById(field.dataset.filters);
  list.querySelectorAll("[data-filter-text]").forEach((one) => {
    one.hidden = !one.dataset.filterText.toLowerCase().includes(wanted);
  });
  list.querySelectorAll("[data-filter-group]").forEach((group) => {
    const found = group.querySelector("[data-filter-text]:not([hidden])");
    group.hidden = !found;
    if (wanted && found) group.open = true;
  });
});

async function login(page) {
  const words = page.querySelector("[data-login-words]");
  if (!words) return;
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (!key) { words.textContent = words.dataset.noKey; return; }
  const body = JSON.stringify({ key, query: location.search, framed: window.top !== window.self });
  try {
    const answer = await fetch("/login/session", { method: "POST", headers: { "content-type": "application/json" }, body });
    const said = await answer.json();
    if (answer.ok) location.replace(said.location);
    else words.textContent = said.detail;
  } catch {
    words.textContent = words.dataset.unreachable;
  }
}

function tellHeight() {
  if (window.parent === window) return;
  const tell = () => {
    const height = Math.ceil(document.documentElement.getBoundingClientRect().height);
    window.parent.postMessage({ type: "angarium-portal", height }, "*"); // the height is not sensitive
  };
  new ResizeObserver(tell).observe(document.documentElement);
  tell();
}

document.addEventListener("DOMContentLoaded", () => {
  prepare(document.body);
  each(document.body, "[data-login]", login);
  setInterval(() => each(document.body, "time[data-relative]", showTime), 1000);
  tellHeight();
});
document.addEventListener("htmx:afterSettle", (event) => prepare(event.target));
