curl -X POST https://api.getbluma.com/api/v1/webhooks \
  -H "Authorization: Bearer YOUR_API_KEY" \
  -d '{
    "url": "https://webhook.site/your-unique-id",
    "events": ["video.completed", "video.failed"]
  }'
