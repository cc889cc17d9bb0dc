// ✅ CORRECT - raw body
app.post('/webhooks/bluma',
  express.raw({ type: 'application/json' }),
  (req, res) => {
    const payload = req.body.toString(); // Raw bytes
    // ...
  }
);

// ❌ WRONG - parsed JSON
app.post('/webhooks/bluma',
  express.json(),
  (req, res) => {
    const payload = JSON.stringify(req.body); // Already parsed!
    // Signature will NEVER match
  }
);
