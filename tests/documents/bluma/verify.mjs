import crypto from 'crypto';

const WEBHOOK_SECRET = process.env.BLUMA_WEBHOOK_SECRET;

function verifySignature(payload, signature) {
  // Compute expected signature
  const expectedSignature = crypto
    .createHmac('sha256', WEBHOOK_SECRET)
    .update(payload)
    .digest('hex');

  // Compare signatures (constant-time comparison)
  const expectedFormat = `sha256=${expectedSignature}`;

  // Use timingSafeEqual to prevent timing attacks
  if (signature.length !== expectedFormat.length) {
    return false;
  }

  return crypto.timingSafeEqual(
    Buffer.from(signature),
    Buffer.from(expectedFormat)
  );
}
