curl https://api.getbluma.com/api/v1/webhooks/webhook_abc123xyz/deliveries \
  -H "Authorization: Bearer YOUR_API_KEY"
