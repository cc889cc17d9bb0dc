// Express.js example
app.post('/webhooks/bluum', (req, res) => {
const event = req.body;
console.log(`Received event: ${event.event}`, event.data);
// Process the event asynchronously
processEvent(event).catch(console.error);
// Respond immediately with 200
res.status(200).json({ received: true });
});
