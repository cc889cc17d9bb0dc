# Delete old webhook
curl -X DELETE https://api.getbluma.com/api/v1/webhooks/webhook_abc123 \
  -H "Authorization: Bearer YOUR_API_KEY"
