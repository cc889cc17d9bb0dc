"""Writes and sends alerts to people: mails over SMTP, and calls of the operator's webhook."""
