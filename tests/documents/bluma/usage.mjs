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
