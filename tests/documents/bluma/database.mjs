app.post('/webhooks/bluma',
  express.raw({ type: 'application/json' }),
  async (req, res) => {
    const signature = req.headers['x-bluma-signature'];
    const payload = req.body.toString();

    if (!verifySignature(payload, signature)) {
      return res.status(401).send('Unauthorized');
    }

    const event = JSON.parse(payload);

    try {
      // Try to insert event (will fail if duplicate due to unique constraint)
      await db.webhook_events.create({
        data: {
          event_id: event.id,
          type: event.type,
          payload: event,
          processed_at: new Date()
        }
      });

      // New event - process it
      await handleWebhookEvent(event);

    } catch (error) {
      if (error.code === 'P2002') { // Prisma unique constraint error
        console.log(`Duplicate event ${event.id}, skipping`);
      } else {
        throw error;
      }
    }

    res.sendStatus(200);
  }
);
