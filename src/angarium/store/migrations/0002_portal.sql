-- What the portal shows of deliveries and attempts, its Play inboxes, and the audit log.

-- the answer to the last attempt (0: no HTTP answer; null: none was made yet) and its kind of failure, so
-- that a log can be filtered without reading attempts
alter table delivery add column status_code smallint, add column error_code text;

-- deliveries that are lost, being retried, or whose last attempt failed, newest first over all endpoints;
-- what is delivered at the first attempt is never in it
create index delivery_trouble on delivery (app_id, message_id, endpoint_id)
    where state in (2, 4) or (state = 1 and failures > 0) or error_code is not null;

-- the same of one endpoint, beside whatever trouble others have
create index delivery_endpoint_trouble on delivery (app_id, endpoint_id, message_id)
    where state in (2, 4) or (state = 1 and failures > 0) or error_code is not null;

-- JSON: [headers sent, headers received], each a list of pairs; values that may be credentials are masked
alter table attempt add column exchange bytea;

-- attempts counted by endpoint and hour, for charts; `latency` counts them by duration (core/tally.py).
-- Endpoint 0 stands for the whole application. Added up in memory and written every few seconds, so a crash
-- may lose the last ones; the log never does. `failed_at` and `error_code`: the last failure of the hour
create table attempt_hour (
    app_id uuid not null,
    endpoint_id uuid not null,
    hour timestamptz not null,
    delivered integer not null,
    failed integer not null,
    latency integer[] not null,
    failed_at timestamptz,
    error_code text,
    primary key (app_id, endpoint_id, hour)
);

-- finds hours to forget
create index attempt_hour_expiry on attempt_hour (hour);

-- when the next step of a task may be taken, where a pace is set; null: as soon as somebody has time
alter table background_task add column due_at timestamptz;

-- the tasks of an application
create index background_task_application on background_task (app_id, id);

-- disabled endpoints of an organization, for its operator
create index endpoint_disabled on endpoint (org_id, disabled_at, id)
    where disabled_at is not null and deleted_at is null;

-- endpoints that fail now, the longest first
create index endpoint_health_failing on endpoint_health (failing_since, endpoint_id)
    where failing_since is not null;

-- a throw-away receiver for an application's trials, and how it answers
create table play_inbox (
    id uuid primary key,
    org_id text not null,
    app_id uuid not null,
    status_code smallint not null default 200,
    delay_ms integer not null default 0,
    failure_percent smallint not null default 0,
    expires_at timestamptz not null
);

-- the inboxes of an application
create index play_inbox_list on play_inbox (app_id, id);

-- finds inboxes to forget
create index play_inbox_expiry on play_inbox (expires_at);

-- what came in; the oldest go when an inbox is full. `verified` null: there was no secret to verify with
create table play_request (
    inbox_id uuid not null references play_inbox (id) on delete cascade,
    id uuid not null,
    method text not null,
    headers jsonb not null,
    body bytea not null,
    size integer not null,
    status_code smallint not null,
    verified boolean,
    finding text not null,
    primary key (inbox_id, id)
);

-- finds requests to forget
create index play_request_expiry on play_request (id);

-- who did what, when and from where; written in the transaction of the deed, and never changed
create table audit (
    org_id text not null,
    id uuid not null,
    app_id uuid,
    actor text not null,
    address text,
    action text not null,
    target text,
    before jsonb,
    after jsonb,
    primary key (org_id, id)
);

-- what happened in one application
create index audit_application on audit (app_id, id) where app_id is not null;

create function audit_is_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only';
end $$;

create trigger audit_append_only before update or delete or truncate on audit
    for each statement execute function audit_is_append_only();
