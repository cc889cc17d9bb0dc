import Queue from 'bull'; // or any job queue

const webhookQueue = new Queue('webhooks', process.env.REDIS_URL);

// Process queue in background
webhookQueue.process(async (job) => {
  const event = job.data;
  await handleWebhookEvent(event);
});

// Webhook endpoint - respond immediately
app.post('/webhooks/bluma',
  express.raw({ type: 'application/json' }),
  async (req, res) => {
    const signature = req.headers['x-bluma-signature'];
    const payload = req.body.toString();

    if (!verifySignature(payload, signature)) {
      return res.status(401).send('Unauthorized');
    }

    const event = JSON.parse(payload);

    // Queue for async processing
    await webhookQueue.add(event);

    // Respond immediately (< 1 second)
    res.sendStatus(200);
  }
);
