import crypto from 'crypto';

const WEBHOOK_SECRET = process.env.BLUMA_WEBHOOK_SECRET;

function verifySignature(payload, signature) {
  // Compute expected signature
  const expectedSignature = crypto
    .createHmac('sha256', WEBHOOK_SECRET)
    .update(payload)
    .digest('hex');

  // Compare signatures (constant-time comparison)
  const expectedFormat = `sha256=${expectedSignature}`;

  // Use timingSafeEqual to prevent timing attacks
  if (signature.length !== expectedFormat.length) {
    return false;
  }

  return crypto.timingSafeEqual(
    Buffer.from(signature),
    Buffer.from(expectedFormat)
  );
}

// Usage in webhook handler
app.post('/webhooks/bluma',
  express.raw({ type: 'application/json' }),
  (req, res) => {
    const signature = req.headers['x-bluma-signature'];
    const payload = req.body.toString();

    if (!verifySignature(payload, signature)) {
      console.error('❌ Invalid webhook signature');
      return res.status(401).send('Unauthorized');
    }

    console.log('✅ Signature verified');
    const event = JSON.parse(payload);
    // Process event...

    res.sendStatus(200);
  }
);
