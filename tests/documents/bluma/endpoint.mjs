import express from 'express';
import crypto from 'crypto';

const app = express();

// IMPORTANT: Use express.raw() for webhook routes to preserve body for signature verification
app.post('/webhooks/bluma',
  express.raw({ type: 'application/json' }),
  (req, res) => {
    const signature = req.headers['x-bluma-signature'];
    const payload = req.body.toString();

    // Verify signature (see Step 3)
    if (!verifySignature(payload, signature)) {
      console.error('Invalid webhook signature');
      return res.status(401).send('Unauthorized');
    }

    // Parse and process event
    const event = JSON.parse(payload);
    handleWebhookEvent(event);

    // Always respond quickly (within 5 seconds)
    res.sendStatus(200);
  }
);

app.listen(3000);
