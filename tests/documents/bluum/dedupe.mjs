const processedEvents = new Set(); // Use a database in production
app.post('/webhooks/bluum', (req, res) => {
const { event, data } = req.body;
const eventId = data.id;
if (processedEvents.has(eventId)) {
return res.status(200).json({ received: true }); // Already processed
}
processedEvents.add(eventId);
handleEvent(event, data);
res.status(200).json({ received: true });
});
