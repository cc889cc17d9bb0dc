import express from 'express';
import crypto from 'crypto';
import { createClient } from 'redis';

const app = express();
const redis = createClient({ url: process.env.REDIS_URL });
await redis.connect();

const WEBHOOK_SECRET = process.env.BLUMA_WEBHOOK_SECRET;

// Signature verification
function verifySignature(payload, signature) {
  const expectedSignature = crypto
    .createHmac('sha256', WEBHOOK_SECRET)
    .update(payload)
    .digest('hex');

  const expectedFormat = `sha256=${expectedSignature}`;

  if (signature.length !== expectedFormat.length) return false;

  return crypto.timingSafeEqual(
    Buffer.from(signature),
    Buffer.from(expectedFormat)
  );
}

// Webhook endpoint
app.post('/webhooks/bluma',
  express.raw({ type: 'application/json' }),
  async (req, res) => {
    const signature = req.headers['x-bluma-signature'];
    const payload = req.body.toString();

    // Verify signature
    if (!verifySignature(payload, signature)) {
      console.error('❌ Invalid signature');
      return res.status(401).send('Unauthorized');
    }

    const event = JSON.parse(payload);

    // Check for duplicates (idempotency)
    const isDuplicate = await redis.get(`event:${event.id}`);
    if (isDuplicate) {
      console.log(`Duplicate event ${event.id}, skipping`);
      return res.sendStatus(200);
    }

    // Mark as received
    await redis.setex(`event:${event.id}`, 86400, 'processed');

    // Process event asynchronously
    processEventAsync(event).catch(error => {
      console.error('Event processing failed:', error);
    });

    // Respond immediately
    res.sendStatus(200);
  }
);

async function processEventAsync(event) {
  console.log(`Processing event: ${event.type} (${event.id})`);

  switch (event.type) {
    case 'video.completed':
      await downloadVideo(event.data.url, event.data.id);
      await notifyUser(event.data.user_id, 'Video ready!');
      break;

    case 'video.failed':
      await notifyUser(event.data.user_id, `Video failed: ${event.data.error.detail}`);
      break;

    case 'credits.low':
      await alertAdmin(`Credits low: ${event.data.remaining} remaining`);
      break;
  }
}

app.listen(3000, () => {
  console.log('✅ Webhook server running on port 3000');
});
