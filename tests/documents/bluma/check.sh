# Test your endpoint manually
curl -X POST https://yourapp.com/webhooks/bluma \
  -H "Content-Type: application/json" \
  -H "X-Bluma-Signature: sha256=test" \
  -d '{"test": true}'
