"""The operations of Svix's open server, as its SDKs call them: data, to hold our document against."""

from __future__ import annotations

APP = "/api/v1/app/{app_id}"
ENDPOINT = f"{APP}/endpoint/{{endpoint_id}}"
MESSAGE = f"{APP}/msg/{{msg_id}}"
ATTEMPT = f"{MESSAGE}/attempt/{{attempt_id}}"
EVENT_TYPE = "/api/v1/event-type/{event_type_name}"

IMPLEMENTED = (
    ("POST", "/api/v1/auth/app-portal-access/{app_id}"),
    ("GET", "/api/v1/app"),
    ("POST", "/api/v1/app"),
    ("GET", APP),
    ("PUT", APP),
    ("DELETE", APP),
    ("PATCH", APP),
    ("GET", f"{APP}/endpoint"),
    ("POST", f"{APP}/endpoint"),
    ("GET", ENDPOINT),
    ("PUT", ENDPOINT),
    ("DELETE", ENDPOINT),
    ("PATCH", ENDPOINT),
    ("GET", f"{ENDPOINT}/secret"),
    ("POST", f"{ENDPOINT}/secret/rotate"),
    ("GET", f"{ENDPOINT}/headers"),
    ("PUT", f"{ENDPOINT}/headers"),
    ("PATCH", f"{ENDPOINT}/headers"),
    ("GET", f"{ENDPOINT}/stats"),
    ("POST", f"{ENDPOINT}/recover"),
    ("POST", f"{ENDPOINT}/send-example"),
    ("GET", "/api/v1/event-type"),
    ("POST", "/api/v1/event-type"),
    ("GET", EVENT_TYPE),
    ("PUT", EVENT_TYPE),
    ("DELETE", EVENT_TYPE),
    ("PATCH", EVENT_TYPE),
    ("GET", f"{APP}/msg"),
    ("POST", f"{APP}/msg"),
    ("GET", MESSAGE),
    ("DELETE", f"{MESSAGE}/content"),
    ("GET", f"{APP}/attempt/endpoint/{{endpoint_id}}"),
    ("GET", f"{APP}/attempt/msg/{{msg_id}}"),
    ("GET", f"{ENDPOINT}/msg"),
    ("GET", f"{MESSAGE}/endpoint"),
    ("GET", ATTEMPT),
    ("DELETE", f"{ATTEMPT}/content"),
    ("POST", f"{MESSAGE}/endpoint/{{endpoint_id}}/resend"),
    ("GET", "/api/v1/health"),
)
LOGOUT = ("POST", "/api/v1/auth/logout")
BATCH = ("POST", f"{APP}/msg/batch")
