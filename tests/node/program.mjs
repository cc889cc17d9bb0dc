// A program that a stranger wrote with Svix's SDK for Node; see tests/e2e/program.py, which does the same.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { ApiException, Svix } from "svix";

const given = JSON.parse(readFileSync(0, "utf8"));
const { name, receiver } = given;
const paid = `${name}.paid`;
const gone = `${name}.gone`;
const secret = (byte) => `whsec_${Buffer.alloc(32, byte).toString("base64")}`;
const connect = (token) => new Svix(token, { serverUrl: given.url });
const client = connect(given.token);

async function until(what, probe) {
  const deadline = Date.now() + 15_000;
  for (;;) {
    const found = await probe();
    if (found) return found;
    assert(Date.now() < deadline, `not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

// all pages forwards, then the same pages backwards
async function bothWays(count, fetch) {
  const pages = [];
  let iterator;
  do {
    pages.push(await fetch(iterator));
    iterator = pages.at(-1).iterator;
  } while (!pages.at(-1).done);
  assert(pages.length > 2);
  const names = pages.map((page) => page.data.map((one) => one.id));
  assert.equal(new Set(names.flat()).size, count);
  assert.equal(names.flat().length, count);
  const back = [];
  let cursor = pages.at(-1).prevIterator;
  for (let left = pages.length - 1; left > 0; left--) {
    assert(cursor, "no way back");
    const page = await fetch(cursor);
    back.unshift(page.data.map((one) => one.id));
    cursor = page.prevIterator;
  }
  assert.deepEqual(back, names.slice(0, -1));
  return pages.flatMap((page) => page.data);
}

async function refused(status, promise) {
  const error = await promise.then(
    () => assert.fail(`no ${status}`),
    (error) => error,
  );
  assert(error instanceof ApiException, String(error));
  assert.equal(error.code, status);
  const body = typeof error.body === "string" ? JSON.parse(error.body) : error.body;
  assert.equal(Array.isArray(body.detail), status === 422, JSON.stringify(body));
  return body;
}

const attemptsOf = async (message) =>
  (await client.messageAttempt.listByMsg(name, message, { limit: 100 })).data;

await client.health.get();

// applications
const appIn = { name: "Customer", uid: name, throttleRate: 500, metadata: { k: "v" } };
const app = await client.application.getOrCreate(appIn);
assert.deepEqual(
  [app.uid, app.name, app.metadata, app.throttleRate],
  [name, "Customer", { k: "v" }, 500],
);
assert(app.createdAt instanceof Date && !Number.isNaN(app.createdAt.getTime()));
assert.equal((await client.application.getOrCreate(appIn)).id, app.id);
await refused(409, client.application.create(appIn));
const changed = await client.application.patch(name, { throttleRate: null, name: "Customer 1" });
assert.deepEqual([changed.name, changed.throttleRate ?? null, changed.uid], ["Customer 1", null, name]);
assert.equal((await client.application.upsert(name, appIn)).id, app.id);
assert((await client.application.list({ limit: 2, order: "descending" })).data.length > 0);

// event types
const schema = {
  1: { type: "object", properties: { n: { type: "integer" } }, examples: [{ n: 7 }] },
};
const created = await client.eventType.create({ name: paid, description: "Paid", schemas: schema });
assert.deepEqual(created.schemas, schema);
assert.equal((await client.eventType.upsert(gone, { description: "Gone" })).name, gone);
assert.equal((await client.eventType.patch(gone, { deprecated: true })).deprecated, true);
assert((await client.eventType.list({ limit: 250 })).data.some((one) => one.name === paid));

// endpoints
const [first, second] = [secret(101), secret(102)];
const main = await client.endpoint.create(name, {
  url: `${receiver}/ok/${name}`,
  uid: "main",
  description: "The main one",
  secret: first,
  headers: { "X-Given": "at create" },
  eventTypes: [paid],
  channels: ["a", "b"],
  metadata: { team: "1" },
  throttleRate: 400,
});
assert.deepEqual(
  [main.uid, main.channels, main.eventTypes, main.metadata, main.throttleRate],
  ["main", ["a", "b"], [paid], { team: "1" }, 400],
);
await client.endpoint.create(name, { url: `${receiver}/fail/${name}`, uid: "failing" });
const healing = await client.endpoint.create(name, { url: `${receiver}/heal/${name}`, uid: "healing" });
await refused(409, client.endpoint.create(name, { url: `${receiver}/`, uid: "main" }));
await refused(422, client.endpoint.create(name, { url: "ftp://example.com" }));
await bothWays(3, (iterator) => client.endpoint.list(name, { limit: 1, iterator }));
assert.equal((await client.endpoint.get(name, "main")).id, main.id);
assert.equal((await client.endpoint.getSecret(name, main.id)).key, first);

// messages, and what became of them
const sent = [];
for (let number = 0; number < 7; number++) {
  sent.push(
    await client.message.create(
      name,
      {
        eventType: paid,
        eventId: `${name}-${number}`,
        payload: { n: number, text: "Grüße 🐎\u2028" },
        channels: ["b"],
        tags: ["t"],
      },
      { withContent: true },
    ),
  );
}
assert.deepEqual(sent[3].payload, { n: 3, text: "Grüße 🐎\u2028" });
const ids = sent.map((one) => one.id);
for (const id of ids) await until("7 attempts", async () => (await attemptsOf(id)).length === 7);
await bothWays(7, (iterator) => client.message.list(name, { limit: 3, iterator, tag: "t" }));
const got = await client.message.get(name, `${name}-3`, { withContent: true });
assert.deepEqual([got.id, got.payload], [sent[3].id, sent[3].payload]);
const byFailing = await bothWays(21, (iterator) =>
  client.messageAttempt.listByEndpoint(name, "failing", {
    limit: 8,
    iterator,
    withContent: true,
    withMsg: true,
  }),
);
assert(byFailing.every((one) => one.responseStatusCode === 500 && one.response === "broken"));
assert(byFailing.every((one) => one.msg.id === one.msgId && one.statusText === "fail"));
const byMessage = await bothWays(7, (iterator) =>
  client.messageAttempt.listByMsg(name, ids[0], { limit: 2, iterator }),
);
assert.deepEqual(
  byMessage.filter((one) => one.endpointId === healing.id).map((one) => one.responseStatusCode),
  [200, 500, 500],
);
const one = await client.messageAttempt.get(name, ids[0], byMessage[0].id);
assert.deepEqual([one.id, one.triggerType], [byMessage[0].id, 0]);
const attempted = await bothWays(7, (iterator) =>
  client.messageAttempt.listAttemptedMessages(name, "failing", { limit: 3, iterator }),
);
assert(attempted.every((one) => one.statusText === "fail"));
const destinations = await bothWays(3, (iterator) =>
  client.messageAttempt.listAttemptedDestinations(name, ids[0], { limit: 1, iterator }),
);
assert.deepEqual(
  Object.fromEntries(destinations.map((one) => [one.uid, one.statusText])),
  { main: "success", failing: "fail", healing: "success" },
);

// two secrets at once, and headers of the endpoint's own
await client.endpoint.rotateSecret(name, "main", { key: second });
assert.equal((await client.endpoint.getSecret(name, "main")).key, second);
await client.endpoint.setHeaders(name, "main", { headers: { "X-Put": "1", Authorization: "Bearer x" } });
await client.endpoint.patchHeaders(name, "main", { headers: { "X-Patched": "2" } });
const headers = await client.endpoint.getHeaders(name, "main");
assert.deepEqual(headers.headers, { "X-Put": "1", "X-Patched": "2" });
assert.deepEqual([...headers.sensitive], ["Authorization"]);
const rotated = (
  await client.message.create(name, { eventType: paid, payload: { rotated: true }, channels: ["a"] })
).id;
await until("the delivery after rotating", async () => (await attemptsOf(rotated)).length === 7);

// numbers, and sending again
assert.equal((await client.endpoint.getStats(name, "failing")).fail, 24);
await client.messageAttempt.resend(name, ids[1], "main");
await until("the resent one", async () =>
  (await attemptsOf(ids[1])).some((one) => one.triggerType === 1 && one.endpointId === main.id),
);
const since = new Date(Date.now() - 3_600_000);
const task = await client.endpoint.recover(name, "failing", { since });
assert.equal(task.task, "endpoint.recover");
await until(
  "eight recovered messages",
  async () => (await client.endpoint.getStats(name, "failing")).fail === 32,
);
await until(
  "the end of the task",
  async () => (await client.backgroundTask.get(task.id)).status === "finished",
);
const example = (await client.endpoint.sendExample(name, "healing", { eventType: paid })).id;
await until("the example", async () => (await attemptsOf(example)).length === 1);

// forgetting contents
await client.messageAttempt.expungeContent(name, ids[0], byMessage[0].id);
await client.message.expungeContent(name, ids[0]);
assert.deepEqual((await client.message.get(name, ids[0], { withContent: true })).payload, { expired: true });
assert.equal((await client.messageAttempt.get(name, ids[0], byMessage[0].id)).response, "EXPUNGED");

// changing endpoints
const patched = await client.endpoint.patch(name, "main", { description: "Changed", channels: null });
assert.deepEqual([patched.description, patched.channels ?? null, patched.eventTypes], ["Changed", null, [paid]]);
const replaced = await client.endpoint.upsert(name, "main", { url: `${receiver}/ok/${name}`, uid: "main" });
assert.deepEqual([replaced.id, replaced.metadata, replaced.eventTypes ?? null], [main.id, {}, null]);

// a customer's own token
const portal = await client.authentication.appPortalAccess(name, { expiry: 3600 });
const customer = connect(portal.token);
assert.equal((await customer.endpoint.get(name, "main")).id, main.id);
await refused(403, customer.application.list());
await customer.authentication.logout();
await refused(401, customer.endpoint.get(name, "main"));

// the ends of things
await refused(404, client.message.get(name, "no-such-message"));
await refused(422, client.message.create(name, { eventType: "a b", payload: {} }));
await refused(409, client.message.create(name, { eventType: paid, eventId: `${name}-1`, payload: {} }));
await refused(401, connect("nonsense").application.list());
await refused(501, client.integration.list(name));
await client.endpoint.delete(name, "failing");
await refused(404, client.endpoint.get(name, "failing"));
await client.eventType.delete(gone, { expunge: true });
await refused(404, client.eventType.get(gone));
await client.application.delete(name);
await refused(404, client.application.get(app.id));

const { version } = JSON.parse(
  readFileSync(new URL("package.json", import.meta.resolve("svix/package.json")), "utf8"),
);
console.log(JSON.stringify({ version, messages: ids, rotated, example, secrets: [first, second] }));
