// In-memory cache (use Redis for production)
const processedEvents = new Set();

app.post('/webhooks/bluma',
  express.raw({ type: 'application/json' }),
  async (req, res) => {
    const signature = req.headers['x-bluma-signature'];
    const payload = req.body.toString();

    // Verify signature
    if (!verifySignature(payload, signature)) {
      return res.status(401).send('Unauthorized');
    }

    const event = JSON.parse(payload);

    // Check if already processed
    if (processedEvents.has(event.id)) {
      console.log(`Duplicate event ${event.id}, skipping`);
      return res.sendStatus(200); // Still return 200!
    }

    // Process event
    await handleWebhookEvent(event);

    // Mark as processed
    processedEvents.add(event.id);

    res.sendStatus(200);
  }
);
