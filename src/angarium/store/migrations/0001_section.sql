-- The schema: a queue that empties, and a history that is partitioned by day and only added to.
--
-- A delivery is a message that one endpoint gets. It is recorded in exactly one place:
--   pending   it was never attempted, and is due
--   retry     it is due again, at a later time, by hand, or when its endpoint is enabled
--   attempt   it is over: its last attempt, or its cancellation, is marked as final
-- The view `delivery` shows all three alike.
--
-- Each index says what it is for. Times come from the caller, never from now(): tests run in virtual time, and
-- one clock decides.

-- The order of acceptance, whatever the clocks of the hosts say. A message takes its place when it is accepted, and
-- an endpoint when it is created.
create sequence section.acceptance;

create table section.application (
    id uuid primary key,
    org_id text not null,
    uid text,
    name text not null,
    rate_limit integer check (rate_limit > 0),
    metadata jsonb not null default '{}',
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz
);

-- a uid is unique among the living applications of an organization, and finds them
create unique index application_uid on section.application (org_id, uid) where deleted_at is null;

-- the list of an organization's applications, in order of creation
create index application_list on section.application (org_id, id) where deleted_at is null;

-- finds deleted applications, whose rows go later
create index application_expiry on section.application (deleted_at) where deleted_at is not null;

-- Failures of an endpoint belong to one generation of it: a new URL and enabling begin a new one, and what is
-- recorded of an older generation says nothing any more.
create table section.endpoint (
    app_id uuid not null,
    id uuid not null,
    org_id text not null,
    uid text,
    url text not null,
    name text,
    description text not null default '',
    version integer not null default 1,
    rate_limit integer check (rate_limit > 0),
    event_types text[],
    channels text[],
    metadata jsonb not null default '{}',
    headers bytea,
    keys bytea not null,
    fifo boolean not null default false,
    shard smallint not null check (shard between 0 and 64),  -- 64: fetched by a listener, not sent to
    disabled_at timestamptz,
    disabled_reason text check (disabled_reason in ('manual', 'failing', 'gone', 'unheard')),
    revision bigint not null default 1,
    health_generation integer not null default 0,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz,
    first_seq bigint not null default nextval('section.acceptance'),  -- it gets no message that was accepted before
    -- its application, unless it is deleted
    living_app_id uuid generated always as (case when deleted_at is null then app_id end) stored,
    primary key (app_id, id)
);

-- The living endpoints of an application, in order of creation. Deleted ones stay for as long as the history, and there
-- may be many more of those. This index is the only one for `living_app_id`, so whatever the planner expects, it
-- cannot choose to go along the primary key and pass over them.
create index endpoint_living on section.endpoint (living_app_id, id) where living_app_id is not null;

-- a uid is unique among the living endpoints of an application, and finds them
create unique index endpoint_uid on section.endpoint (living_app_id, uid) where living_app_id is not null;

-- disabled endpoints of an organization, for its operator
create index endpoint_disabled on section.endpoint (org_id, disabled_at, id)
    where disabled_at is not null and deleted_at is null;

-- finds deleted endpoints, whose rows go later
create index endpoint_expiry on section.endpoint (deleted_at) where deleted_at is not null;

-- URLs that endpoints had before. An attempt names the revision of its endpoint with which it was made: its URL is the
-- first here of that revision or a later one, and if there is none the endpoint's own.
create table section.former_url (
    endpoint_id uuid not null,
    revision bigint not null,  -- the last with this URL
    url text not null,
    replaced_at timestamptz not null,
    primary key (endpoint_id, revision)
);

-- finds those to delete
create index former_url_expiry on section.former_url (replaced_at);

-- written by the owner of the lane when health changes; apart from endpoint so that edits and sending
-- never wait for each other. core/health.py explains the evidence for disabling
create table section.endpoint_health (
    app_id uuid not null,
    endpoint_id uuid not null,
    failing_since timestamptz,
    failures integer not null default 0,
    generation integer not null default 0,
    run_since timestamptz,
    run_until timestamptz,
    clock_since timestamptz,
    primary key (app_id, endpoint_id)
);

-- endpoints that fail now, the longest first
create index endpoint_health_failing on section.endpoint_health (failing_since, endpoint_id)
    where failing_since is not null;

-- Endpoints whose deliveries are fetched by a listener (`angarium listen`) instead of being sent.
create table section.listener (
    app_id uuid not null,
    endpoint_id uuid not null,
    heard_at timestamptz not null,
    primary key (app_id, endpoint_id)
);

-- finds listeners that nobody runs any more
create index listener_silence on section.listener (heard_at);

-- Faults on our side that keep requests from being sent. Each process writes its own, and again every few seconds
-- while they last. One that is not written again belongs to a process that is gone.
create table section.fault (
    process text not null,
    code text not null,  -- of the kind of failure (core/failure.py)
    since timestamptz not null,
    noted_at timestamptz not null,
    lanes integer not null check (lanes >= 0),
    primary key (process, code)
);

-- finds faults of processes that are gone
create index fault_expiry on section.fault (noted_at);

-- endpoints that nothing is sent to because of a fault
create table section.held_lane (
    endpoint_id uuid not null,
    process text not null,
    code text not null,
    since timestamptz not null,
    primary key (endpoint_id, process),
    foreign key (process, code) references section.fault on delete cascade
);

-- the endpoints of a fault, to let them go when it is over
create index held_lane_fault on section.held_lane (process, code);


-- The queue

-- Deliveries that were never attempted and are due, in the order in which a lane loads them: the primary key.
-- A lane goes on behind the last one that it has loaded, so it does not pass over what is done.
create table section.pending (
    due_at timestamptz not null,
    endpoint_id uuid not null,
    message_id uuid not null,
    app_id uuid not null,
    shard smallint not null check (shard between 0 and 63),
    seq bigint,  -- the order of acceptance, in first-in-first-out lanes only; 0: before they became that
    primary key (shard, endpoint_id, message_id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);

-- what a first-in-first-out lane sends next
create index pending_fifo on section.pending (endpoint_id, seq, message_id) where seq is not null;

-- Deliveries that failed and are tried again, that somebody wants sent again by hand, that were accepted for a
-- later time, or that a listener fetches.
create table section.retry (
    endpoint_id uuid not null,
    message_id uuid not null,
    app_id uuid not null,
    shard smallint not null check (shard between 0 and 64),
    seq bigint,  -- as in pending
    state smallint not null check (state in (0, 1, 2, 4)),  -- delivered, pending, exhausted, canceled
    failures integer not null default 0 check (failures >= 0),
    attempts integer not null default 0 check (attempts >= 0),
    due_at timestamptz,  -- null: it waits until its endpoint is enabled
    resume_at timestamptz,  -- when the schedule goes on after the manual attempt
    manual_at timestamptz,  -- a manual attempt was asked for at this time
    -- accepted for a later time and not tried yet: holds nothing back in a first-in-first-out lane until it is due
    scheduled boolean not null default false,
    status_code smallint,  -- of the last attempt; 0: no HTTP answer, null: none was made
    error_code text,
    primary key (endpoint_id, message_id),
    check (state = 1 or manual_at is not null),
    check (resume_at is null or manual_at is not null)
) with (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0
);

-- what a lane retries and when; a shard finds its lanes by skipping along
create index retry_due on section.retry (shard, endpoint_id, due_at) where due_at is not null;

-- manual attempts of a lane, which come first
create index retry_manual on section.retry (shard, endpoint_id, due_at) where due_at is not null and manual_at is not null;

-- the next of a first-in-first-out lane, in order of acceptance
create index retry_fifo on section.retry (endpoint_id, seq, message_id) where due_at is not null and seq is not null and not scheduled;

-- and what takes its place among these when it is due
create index retry_fifo_scheduled on section.retry (endpoint_id, due_at) where due_at is not null and seq is not null and scheduled;

-- what waits for its endpoint to be enabled
create index retry_waiting on section.retry (endpoint_id, message_id) where due_at is null;

-- the deliveries of an application that are undelivered or failing, newest first over all endpoints
create index retry_failing on section.retry (app_id, message_id, endpoint_id)
    where state in (2, 4) or (state = 1 and failures > 0) or error_code is not null;


-- Messages that are accepted and whose deliveries are not all written yet (store/fan_out.py). Rows are few and go soon.
create table section.fan_out (
    message_id uuid primary key,
    app_id uuid not null,
    seq bigint not null,  -- the order of acceptance
    due_at timestamptz not null,
    after_id uuid,  -- endpoints up to this one are done; null: none is
    written uuid[],  -- endpoints behind it whose delivery was written out of turn, because it was asked for by hand
    scheduled boolean not null default false  -- it was accepted for a later time, by the clock of that host
) with (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0
);

-- the next message of an application
create index fan_out_order on section.fan_out (app_id, seq);


-- The history, partitioned by day (store/partition.py). A message and its attempts are in the partitions of the
-- day on which the message was accepted, so they go together.

create table section.message (
    app_id uuid not null,
    id uuid not null,
    expires_at timestamptz not null,  -- of its payload
    event_id text,
    event_type text not null,
    channels text[],
    tags text[],
    endpoint_id uuid,  -- the one endpoint that a test was for; no other ever gets it
    primary key (app_id, id)
) partition by range (id);

-- Bodies as they are sent, partitioned by the day on which they expire. The history outlives them, or they it.
create table section.payload (
    message_id uuid not null,
    expires_at timestamptz not null,
    body bytea not null,
    content_type text,  -- of its requests, where its sender chose another than application/json
    primary key (message_id, expires_at)
) partition by range (expires_at);

-- PostgreSQL's own compression, pglz, takes four tenths of the time of a delivery of 20 kB. So a payload beyond
-- some 2 kB is compressed with lz4, or not at all by a PostgreSQL that was built without it.
do $$
begin
    alter table section.payload alter column body set compression lz4;
exception when feature_not_supported then
    alter table section.payload alter column body set storage external;
end
$$;

-- One row for each request, and one for each cancellation (`status` is null), with the delivery's state after it.
create table section.attempt (
    message_id uuid not null,
    id uuid not null,
    endpoint_id uuid not null,
    app_id uuid not null,
    number integer not null check (number >= 0),  -- of all attempts of the delivery, from 1
    failures integer not null check (failures >= 0),  -- scheduled attempts that failed, this one included
    revision integer,  -- of the endpoint when it was sent, which tells the URL (former_url)
    duration_ms integer,
    state smallint not null check (state in (0, 1, 2, 4)),  -- of the delivery after it
    status smallint check (status in (0, 2)),  -- 0 succeeded, 2 failed
    status_code smallint,  -- 0: no HTTP answer, null: none was made
    manual boolean not null,
    -- the delivery is over and this is its record; at most one of a delivery, and none while it is in the queue
    final boolean not null,
    next_at timestamptz,
    error_code text,
    error text,
    response bytea,
    -- the headers sent and received, in the code of core/header_code.py; values that may be credentials are masked
    exchange bytea,
    primary key (message_id, id),
    check (status is null or (status_code is not null and duration_ms is not null and revision is not null)),
    check (not final or state <> 1)
) partition by range (message_id);

-- the deliveries of an endpoint that are over, by message; one record for each
create unique index attempt_final on section.attempt (endpoint_id, message_id) where final;

-- the attempts of one endpoint, newest first
create index attempt_endpoint on section.attempt (endpoint_id, id) where status is not null;

-- deliveries that are undelivered, or whose last attempt failed, newest first over all endpoints; what is delivered at
-- the first attempt is never in it
create index attempt_failing on section.attempt (app_id, message_id, endpoint_id)
    where final and (state <> 0 or error_code is not null);

-- the same of one endpoint, beside whatever trouble others have
create index attempt_endpoint_failing on section.attempt (endpoint_id, message_id)
    where final and (state <> 0 or error_code is not null);

-- The state of each delivery, wherever it is recorded.
create view section.delivery as
select app_id, endpoint_id, message_id, shard, 1::smallint as state, 0 as failures, 0 as attempts,
       null::smallint as status_code, null::text as error_code,
       due_at, null::timestamptz as resume_at, null::timestamptz as manual_at
from section.pending
union all
select app_id, endpoint_id, message_id, shard, state, failures, attempts, status_code, error_code,
       due_at, resume_at, manual_at
from section.retry
union all
select app_id, endpoint_id, message_id, null, state, failures, number, status_code, error_code, null, null, null
from section.attempt
where final;

-- Adds a partition. Attaching one locks the parent against other such changes only, so those who write into it
-- go on.
create function section.add_partition(parent text, name text, low text, high text) returns boolean language plpgsql as $$
begin
    if to_regclass(format('section.%I', name)) is not null then
        return false;
    end if;
    execute format('create table section.%I (like section.%I including all)', name, parent);
    execute format(
        'alter table section.%I attach partition section.%I for values from (%L) to (%L)', parent, name, low, high
    );
    return true;
end $$;

-- Drops a partition. The lock on the parent that this takes is held for the moment of the change only; the caller
-- sets lock_timeout, so that nobody waits long behind it.
create function section.drop_partition(parent text, name text) returns void language plpgsql as $$
begin
    execute format('alter table section.%I detach partition section.%I', parent, name);
    execute format('drop table section.%I', name);
end $$;


-- Marks the records of deliveries to one endpoint as not final, of messages from `first` to `last`. It plans for its
-- values, which reach the few days of these messages and look each of them up.
create function section.reopen(endpoint uuid, messages uuid[], first uuid, last uuid)
returns void language plpgsql set plan_cache_mode = force_custom_plan as $$
begin
    update section.attempt set final = false
    where endpoint_id = endpoint and message_id = any(messages) and message_id >= first and message_id <= last and final;
end $$;


-- Messages with their payloads, those apart that have expired at a time; each message is asked for once. A join with
-- the history over many days would open and lock each of its partitions. So this goes day by day, with plans for the
-- values of each day, which reach one partition.
create function section.content(app_ids uuid[], message_ids uuid[], at timestamptz)
returns table (
    app_id uuid, id uuid, event_id text, event_type text, channels text[], tags text[], endpoint_id uuid,
    content_type text, expires_at timestamptz, body bytea
)
language plpgsql stable rows 100 set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    found section.message[];
    lows uuid[];
    highs uuid[];
    begins timestamptz[];
    ends timestamptz[];
    day integer;
begin
    select array_agg((lpad(to_hex(one * 86400000), 12, '0') || repeat('0', 20))::uuid),
           array_agg((lpad(to_hex((one + 1) * 86400000 - 1), 12, '0') || repeat('f', 20))::uuid)
    into lows, highs
    from (
        select distinct ('x' || encode(substring(uuid_send(one) for 6), 'hex'))::bit(48)::bigint / 86400000 as one
        from unnest(message_ids) as one
    ) as days;
    for day in 1 .. coalesce(cardinality(lows), 0) loop
        found := found || array(
            select m.one from unnest(app_ids, message_ids) as wanted (app_id, id)
            cross join lateral (
                select m as one from section.message m
                where app_id = wanted.app_id and id = wanted.id and id between lows[day] and highs[day]
                offset 0
            ) as m
        );
    end loop;
    select array_agg(one), array_agg(one + interval '1 day') into begins, ends
    from (select distinct date_trunc('day', expires_at, 'UTC') as one from unnest(found)) as days;
    for day in 1 .. coalesce(cardinality(begins), 0) loop
        return query
        select m.app_id, m.id, m.event_id, m.event_type, m.channels, m.tags, m.endpoint_id, p.content_type,
               m.expires_at, p.body
        from unnest(found) as m
        left join lateral (
            select body, content_type from section.payload
            where message_id = m.id and expires_at = m.expires_at and expires_at > at
              and expires_at >= begins[day] and expires_at < ends[day]
            offset 0
        ) as p on true
        where m.expires_at >= begins[day] and m.expires_at < ends[day];
    end loop;
end $$;

-- A UUIDv7 (RFC 9562, 5.7) for a time.
create function section.new_id(at timestamptz) returns uuid language sql volatile as $$
    select encode(set_byte(made, 6, (get_byte(made, 6) & 15) | 112), 'hex')::uuid
    from (
        select overlay(
            uuid_send(gen_random_uuid())
            placing substring(int8send((extract(epoch from at) * 1000)::bigint) from 3) from 1 for 6
        ) as made
    ) random
$$;

-- what an operator's own message ids stand for; unique in the application, which no partitioned table can promise
create table section.event_id (
    app_id uuid not null,
    event_id text not null,
    message_id uuid not null,
    primary key (app_id, event_id)
);

-- finds those of old messages to delete
create index event_id_expiry on section.event_id (message_id);

-- idempotency keys of messages, and the message that each stands for
create table section.idempotency (
    key bytea primary key,
    message_id uuid not null,
    app_id uuid not null,
    expires_at timestamptz not null
);

-- finds keys to delete
create index idempotency_expiry on section.idempotency (expires_at);

-- attempts counted by endpoint and hour, for charts; `latency` counts them by duration (core/hourly_stats.py).
-- Endpoint 0 stands for the whole application. Added up in memory and written every few seconds, so a crash
-- may lose the last ones; the history never does. `failed_at` and `error_code`: the last failure of the hour
create table section.attempt_hour (
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

-- finds hours to delete
create index attempt_hour_expiry on section.attempt_hour (hour);

create table section.background_task (
    id uuid primary key,
    org_id text not null,
    app_id uuid,
    kind text not null,
    status text not null check (status in ('running', 'finished', 'failed', 'canceled')),
    arguments jsonb not null,
    cursor jsonb,
    data jsonb not null default '{}',
    created_at timestamptz not null,
    updated_at timestamptz not null,
    due_at timestamptz  -- when the next step may be taken, where a rate is set; null: as soon as somebody has time
);

-- the list of an organization's tasks
create index background_task_list on section.background_task (org_id, id);

-- tasks to go on with
create index background_task_running on section.background_task (id) where status = 'running';

-- the tasks of an application
create index background_task_application on section.background_task (app_id, id);

-- finds tasks to delete
create index background_task_expiry on section.background_task (updated_at) where status <> 'running';

-- numbers that sandbox scenarios keep for an application, such as credits
create table section.sandbox_counter (
    app_id uuid not null,
    name text not null,
    value bigint not null,
    primary key (app_id, name)
);

-- a throw-away receiver for an application's trials, and how it answers
create table section.play_inbox (
    id uuid primary key,
    org_id text not null,
    app_id uuid not null,
    status_code smallint not null default 200,
    delay_ms integer not null default 0,
    failure_percent smallint not null default 0,
    expires_at timestamptz not null
);

-- the inboxes of an application
create index play_inbox_list on section.play_inbox (app_id, id);

-- finds inboxes to delete
create index play_inbox_expiry on section.play_inbox (expires_at);

-- what came in; the oldest go when an inbox is full. `verified` null: there was no secret to verify with
create table section.play_request (
    inbox_id uuid not null references section.play_inbox (id) on delete cascade,
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

-- finds requests to delete
create index play_request_expiry on section.play_request (id);

-- Who did what with what is in this section; see control.audit.
create table section.audit (
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
create index audit_application on section.audit (app_id, id) where app_id is not null;

-- finds records to delete
create index audit_expiry on section.audit (id);
