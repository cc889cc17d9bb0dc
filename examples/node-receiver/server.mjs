// A warehouse that ships what the shop sold.
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const LIMIT = 1024 * 1024; // bytes of a body
const REMEMBERED = 100_000; // ids of events

const secret = process.env.WEBHOOK_SECRET;
if (!secret) throw new Error("set WEBHOOK_SECRET to the endpoint's secret, whsec_…");
const webhook = new Webhook(secret);
const seen = new Set();

function handle(event) {
  if (event.type === "order.placed") console.log(`shipped ${event.data.item} for order ${event.data.id}`);
}

/** The raw body, because its bytes are signed; null if it is too large. */
async function read(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > LIMIT) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** The status of the response: 2xx ends the delivery, others are retried. */
async function receive(request) {
  if (request.url !== "/webhooks") return 404;
  if (request.method !== "POST") return 405;
  const body = await read(request);
  if (body === null) return 413;
  let event;
  try {
    event = webhook.verify(body, request.headers);
  } catch {
    return 401;
  }
  const id = request.headers["webhook-id"];
  if (seen.has(id)) return 204; // a duplicate
  seen.add(id);
  try {
    await handle(event);
  } catch (error) {
    seen.delete(id);
    throw error;
  }
  if (seen.size > REMEMBERED) seen.delete(seen.values().next().value);
  return 204;
}

const server = createServer(async (request, response) => {
  try {
    response.statusCode = await receive(request);
  } catch (error) {
    console.error(error);
    response.statusCode = 500;
  }
  if (response.statusCode === 413) response.setHeader("connection", "close");
  response.end();
});

server.listen(process.env.PORT ?? 9000, () => console.log(`listening on port ${server.address().port}`));
