"""What the OpenAPI document says of messages, attempts and background tasks. Describes; does not parse."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from angarium.api.native.application import ApplicationIn

T = TypeVar("T")

EventType = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[a-zA-Z0-9\-_.]+$")]
Channel = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9\-_.:+]+$")]
Tag = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9\-_./\\#]+$")]
StatusNumber = Literal[0, 1, 2, 3, 4]
StatusText = Literal["success", "pending", "fail", "sending", "canceled"]


class Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, use_attribute_docstrings=True)


class MessageIn(Model):
    event_type: EventType
    payload: dict[str, Any]
    """A JSON object, sent byte for byte. `data` is accepted as another name."""
    event_id: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[a-zA-Z0-9\-_.]+$")] | None = None
    """Your own id, unique in the application."""
    channels: Annotated[list[Channel], Field(min_length=1, max_length=10)] | None = None
    tags: Annotated[list[Tag], Field(max_length=10)] | None = None
    payload_retention_period: Annotated[int, Field(ge=1, le=90)] | None = 90
    """Days for which the payload is kept."""
    payload_retention_hours: Annotated[int, Field(ge=1, le=2160)] | None = None
    """Hours for which the payload is kept, instead of days."""
    transformations_params: dict[str, Any] | None = None
    """`rawPayload`, a string, is sent verbatim in place of the payload. `headers` may hold `content-type`,
    which replaces `application/json`."""
    application: ApplicationIn | None = None
    """Creates the application if it does not exist; its uid must be the one in the path."""
    deliver_at: datetime | None = None
    """When to make the first attempt: one minute to 24 hours ahead."""


class BatchIn(Model):
    messages: Annotated[list[MessageIn], Field(min_length=1, max_length=1000)]


class MessageOut(Model):
    id: str
    event_type: str
    payload: dict[str, Any]
    timestamp: datetime
    event_id: str | None
    channels: list[str] | None
    tags: list[str] | None = None
    deliver_at: datetime | None = None


class BatchMessage(MessageOut):
    """A message of a batch that was accepted."""

    status: Literal[202]


class BatchRefusal(Model):
    """The error that the message would get if it were sent alone."""

    status: int
    code: str
    detail: str | list[dict[str, Any]]
    """A message, or the errors of its fields."""


class BatchOut(Model):
    results: list[BatchMessage | BatchRefusal]


class AttemptOut(Model):
    id: str
    msg_id: str
    endpoint_id: str
    url: str
    response: str
    """The beginning of the response body (base64 if it is not text), or why there was no response."""
    response_status_code: int
    """0: there was no HTTP response."""
    response_duration_ms: int
    status: StatusNumber
    status_text: StatusText
    trigger_type: Literal[0, 1]
    """0: scheduled, 1: manual."""
    timestamp: datetime
    error_code: str | None = None
    """The kind of failure."""
    error: str | None = None
    """What happened, and what to do."""
    msg: MessageOut | None = None


class OurFaultOut(Model):
    """A fault on our side that keeps an endpoint's deliveries from being sent."""

    code: str
    """What kind of fault: `resolver_down`, `network_down`, `out_of_resources`, `pool_full` or `internal`."""
    title: str
    since: datetime


class EndpointMessageOut(MessageOut):
    status: StatusNumber
    status_text: StatusText
    next_attempt: datetime | None = None
    """When the next attempt is due, or expected if it waits."""
    waiting: bool = False
    """It has been due for more than 5 seconds: it is in flight, or waits behind others of its endpoint or for
    the rate limit."""
    our_fault: OurFaultOut | None = None
    """It is due and waits for a fault on our side to end. No action is needed."""


class MessageEndpointOut(Model):
    id: str
    url: str
    description: str
    status: StatusNumber
    status_text: StatusText
    next_attempt: datetime | None
    """When the next attempt is due, or expected if it waits; null: there is none, or unknown."""
    waiting: bool
    """It has been due for more than 5 seconds: it is in flight, or waits behind others of its endpoint or for
    the rate limit."""
    our_fault: OurFaultOut | None
    """It is due and waits for a fault on our side to end. No action is needed."""
    uid: str | None
    version: int
    rate_limit: int | None
    throttle_rate: int | None
    event_types: list[str] | None
    filter_types: list[str] | None
    channels: list[str] | None
    disabled: bool
    deleted: bool
    created_at: datetime
    updated_at: datetime


class TaskOut(Model):
    id: str
    status: Literal["running", "finished", "failed"]
    task: str
    updated_at: datetime
    data: dict[str, Any]


class ListPage(Model, Generic[T]):
    data: list[T]
    iterator: str | None
    prev_iterator: str | None = None
    done: bool
