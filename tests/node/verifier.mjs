// An outside verifier asked about requests that came in; see tests/e2e/verifier.py.
// Cases as JSON on standard input, verdicts as JSON on standard output.
import { readFileSync } from "node:fs";

const { Webhook, WebhookVerificationError } = await import(process.argv[2]);
const present = Date.now;

function verdict({ body, headers, secret, now }) {
  Date.now = now === null ? present : () => now * 1000;
  try {
    new Webhook(secret).verify(Buffer.from(body, "base64"), headers);
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    if (error instanceof SyntaxError) return true; // verified, but the changed bytes are not JSON
    throw error;
  }
}

const cases = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify({ verdicts: cases.map(verdict) }));
