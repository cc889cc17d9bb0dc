-- Endpoints whose deliveries are fetched by a listener (`angarium listen`) instead of being sent.
create table listener (
    app_id uuid not null,
    endpoint_id uuid not null,
    heard_at timestamptz not null,
    primary key (app_id, endpoint_id)
);

-- finds listeners that nobody runs any more
create index listener_silence on listener (heard_at);
