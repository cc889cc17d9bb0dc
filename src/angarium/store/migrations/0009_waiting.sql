-- What was asked for while an endpoint was disabled: it has no due time until the endpoint is enabled.
create index delivery_waiting on delivery (endpoint_id, message_id)
    where due_at is null and (state = 1 or manual_at is not null);
