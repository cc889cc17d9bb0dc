"""The transactional outbox and the client."""
