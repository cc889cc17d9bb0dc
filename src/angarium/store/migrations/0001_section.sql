-- The schema of a section: a queue whose rows are deleted when done, and a history that is partitioned by day, to which
-- rows are only added.
--
-- A delivery is one message to one endpoint. It is recorded in exactly one place:
--   pending   it was never attempted, and is due
--   retry     it is due later, on request, or when its endpoint is enabled
--   attempt   it has ended: its last attempt, or its cancellation, is marked as final
-- The view `delivery` shows all three in one form.
--
-- Each index says what it is for. Times come from the caller, never from now(), so that all of them are of one clock
-- and tests can run in virtual time.

-- The order of acceptance, independent of the hosts' clocks. A message takes a number when it is accepted, and an
-- endpoint when it is created.
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
    deleted_at timestamptz,
    erasing_at timestamptz,  -- when its erasure was requested; nothing of it is written any more
    -- limits of its own (core/quota.py); null: none; one that is missing is the default
    quota jsonb not null default '{}' check (jsonb_typeof(quota) = 'object'),
    -- until then its messages are refused: it has reached its limit for the month (store/usage.py). It may be late, and
    -- is compared with the limit before a message is refused
    refused_until timestamptz
);

-- a uid is unique among the applications of an organization that are not deleted; finds them by uid
create unique index application_uid on section.application (org_id, uid) where deleted_at is null;

-- the list of an organization's applications, in order of creation
create index application_list on section.application (org_id, id) where deleted_at is null;

-- finds deleted applications, whose rows are deleted later
create index application_expiry on section.application (deleted_at) where deleted_at is not null;

-- The health of an endpoint belongs to a generation. A new URL and enabling start a new generation, and the health of
-- an older one is ignored.
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
    first_seq bigint not null default nextval('section.acceptance'),  -- it gets no message accepted before this
    -- its application, unless the endpoint is deleted
    living_app_id uuid generated always as (case when deleted_at is null then app_id end) stored,
    primary key (app_id, id)
);

-- The endpoints of an application that are not deleted, in order of creation. Deleted ones stay as long as the history,
-- and there may be many more of them. This is the only index with `living_app_id`, so the planner cannot choose to walk
-- along the primary key and skip them.
create index endpoint_living on section.endpoint (living_app_id, id) where living_app_id is not null;

-- a uid is unique among the endpoints of an application that are not deleted; finds them by uid
create unique index endpoint_uid on section.endpoint (living_app_id, uid) where living_app_id is not null;

-- disabled endpoints of an organization, for its operator
create index endpoint_disabled on section.endpoint (org_id, disabled_at, id)
    where disabled_at is not null and deleted_at is null;

-- finds deleted endpoints, whose rows are deleted later
create index endpoint_expiry on section.endpoint (deleted_at) where deleted_at is not null;

-- URLs that endpoints had before. An attempt names the revision of its endpoint that it used. Its URL is the first one
-- here of that revision or a later one, or the endpoint's current URL if there is none.
create table section.former_url (
    endpoint_id uuid not null,
    revision bigint not null,  -- the last revision with this URL
    url text not null,
    replaced_at timestamptz not null,
    primary key (endpoint_id, revision)
);

-- finds URLs to delete
create index former_url_expiry on section.former_url (replaced_at);

-- Written by the owner of the lane when health changes. Separate from `endpoint`, so that edits and sending do not
-- block each other. core/health.py explains the evidence for disabling.
create table section.endpoint_health (
    app_id uuid not null,
    endpoint_id uuid not null,
    failing_since timestamptz,
    failures integer not null default 0,
    generation integer not null default 0,
    run_since timestamptz,
    run_until timestamptz,
    clock_since timestamptz,
    reported_since timestamptz,  -- `failing_since` of the failure that was last reported to people (store/alert.py)
    primary key (app_id, endpoint_id)
);

-- failing endpoints that were not reported yet
create index endpoint_health_unreported on section.endpoint_health (failing_since)
    where failing_since is not null and failing_since is distinct from reported_since;

-- failing endpoints, those that have failed longest first
create index endpoint_health_failing on section.endpoint_health (failing_since, endpoint_id)
    where failing_since is not null;

-- Endpoints whose deliveries are fetched by a listener (`angarium listen`) instead of being sent.
create table section.listener (
    app_id uuid not null,
    endpoint_id uuid not null,
    heard_at timestamptz not null,
    primary key (app_id, endpoint_id)
);

-- finds listeners that have stopped
create index listener_silence on section.listener (heard_at);

-- Faults on our side that prevent requests. Each process writes its own, and repeats that every few seconds while they
-- last. A fault that is not repeated belongs to a process that has ended.
create table section.fault (
    process text not null,
    code text not null,  -- of the failure kind (core/failure.py)
    since timestamptz not null,
    noted_at timestamptz not null,
    lanes integer not null check (lanes >= 0),
    primary key (process, code)
);

-- finds faults of processes that have ended
create index fault_expiry on section.fault (noted_at);

-- endpoints to which nothing is sent because of a fault
create table section.held_lane (
    endpoint_id uuid not null,
    process text not null,
    code text not null,
    since timestamptz not null,
    primary key (endpoint_id, process),
    foreign key (process, code) references section.fault on delete cascade
);

-- the endpoints of a fault, to delete them when it is over
create index held_lane_fault on section.held_lane (process, code);


-- The queue

-- Deliveries that were never attempted and are due. The primary key is the order in which a lane loads them. A lane
-- continues after the last one that it has loaded, so it does not read dead entries of completed deliveries.
create table section.pending (
    due_at timestamptz not null,
    endpoint_id uuid not null,
    message_id uuid not null,
    app_id uuid not null,
    shard smallint not null check (shard between 0 and 63),
    seq bigint,  -- the place in the order of acceptance, in first-in-first-out lanes only; 0: before all others
    primary key (shard, endpoint_id, message_id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);

-- the next deliveries of a first-in-first-out lane
create index pending_fifo on section.pending (endpoint_id, seq, message_id) where seq is not null;

-- Deliveries that failed and are retried, that have a manual request, that were accepted for a later time, or that a
-- listener fetches.
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
    resume_at timestamptz,  -- when the schedule continues after the manual attempt
    manual_at timestamptz,  -- when a manual attempt was requested
    -- accepted for a later time and not attempted yet: blocks nothing in a first-in-first-out lane until it is due
    scheduled boolean not null default false,
    status_code smallint,  -- of the last attempt; 0: no HTTP response, null: no attempt yet
    error_code text,
    primary key (endpoint_id, message_id),
    check (state = 1 or manual_at is not null),
    check (resume_at is null or manual_at is not null)
) with (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0
);

-- the retries of a lane, by due time; the lanes of a shard are found by skipping from lane to lane
create index retry_due on section.retry (shard, endpoint_id, due_at) where due_at is not null;

-- the manual attempts of a lane, which come first
create index retry_manual on section.retry (shard, endpoint_id, due_at) where due_at is not null and manual_at is not null;

-- the next retries of a first-in-first-out lane, in order of acceptance
create index retry_fifo on section.retry (endpoint_id, seq, message_id) where due_at is not null and seq is not null and not scheduled;

-- deliveries of a first-in-first-out lane for a later time, which take their place in that order when they are due
create index retry_fifo_scheduled on section.retry (endpoint_id, due_at) where due_at is not null and seq is not null and scheduled;

-- deliveries that wait for their endpoint to be enabled
create index retry_waiting on section.retry (endpoint_id, message_id) where due_at is null;

-- the failing deliveries of an application in the queue, newest first over all endpoints
create index retry_failing on section.retry (app_id, message_id, endpoint_id)
    where state in (2, 4) or (state = 1 and failures > 0) or error_code is not null;


-- Accepted messages whose deliveries are not all written yet (store/fan_out.py). There are few rows, deleted soon.
create table section.fan_out (
    message_id uuid primary key,
    app_id uuid not null,
    seq bigint not null,  -- the order of acceptance
    due_at timestamptz not null,
    after_id uuid,  -- endpoints up to this one are done; null: none is
    written uuid[],  -- later endpoints whose delivery was written already, because it was requested manually
    scheduled boolean not null default false  -- accepted for a later time, by the clock of that host
) with (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0
);

-- the next message of an application
create index fan_out_order on section.fan_out (app_id, seq);


-- The history, partitioned by day (store/partition.py). A message and its attempts are in the partitions of the day on
-- which the message was accepted, so they are dropped together.

create table section.message (
    app_id uuid not null,
    id uuid not null,
    expires_at timestamptz not null,  -- of its payload
    event_id text,
    event_type text not null,
    channels text[],
    tags text[],
    endpoint_id uuid,  -- the endpoint of a test; no other endpoint ever gets the message
    erased_at timestamptz,  -- when its erasure was requested; later attempts are recorded without their responses
    trace bytea,  -- the trace id and the span id of its acceptance, if it is sampled
    primary key (app_id, id)
) partition by range (id);

-- Bodies as they are sent, partitioned by the day on which they expire, independent of the history.
create table section.payload (
    message_id uuid not null,
    expires_at timestamptz not null,
    body bytea not null,
    content_type text,  -- of its requests, if it is not application/json
    primary key (message_id, expires_at)
) partition by range (expires_at);

-- PostgreSQL's default compression, pglz, takes 40 % of the time of a delivery of 20 kB. So payloads above about 2 kB
-- are compressed with lz4, or not at all by a PostgreSQL that was built without it.
do $$
begin
    alter table section.payload alter column body set compression lz4;
exception when feature_not_supported then
    alter table section.payload alter column body set storage external;
end
$$;

-- One row for each request, and one for each cancellation (`status` is null), with the state of the delivery after it.
create table section.attempt (
    message_id uuid not null,
    id uuid not null,
    endpoint_id uuid not null,
    app_id uuid not null,
    number integer not null check (number >= 0),  -- of all attempts of the delivery, from 1
    failures integer not null check (failures >= 0),  -- scheduled attempts that failed, this one included
    revision integer,  -- of the endpoint's configuration that was used; identifies the URL (former_url)
    duration_ms integer,
    state smallint not null check (state in (0, 1, 2, 4)),  -- of the delivery after it
    status smallint check (status in (0, 2)),  -- 0 succeeded, 2 failed
    status_code smallint,  -- 0: no HTTP response, null: a cancellation
    manual boolean not null,
    -- the delivery has ended and this is its record: at most one for a delivery, and none while it is in the queue
    final boolean not null,
    next_at timestamptz,
    error_code text,
    error text,
    response bytea,
    -- the headers sent and received, encoded by core/header_code.py; values that may be credentials are masked
    exchange bytea,
    primary key (message_id, id),
    check (status is null or (status_code is not null and duration_ms is not null and revision is not null)),
    check (not final or state <> 1)
) partition by range (message_id);

-- the deliveries of an endpoint that have ended, by message; one record for each
create unique index attempt_final on section.attempt (endpoint_id, message_id) where final;

-- the attempts of one endpoint, newest first
create index attempt_endpoint on section.attempt (endpoint_id, id) where status is not null;

-- failing deliveries in the history, newest first over all endpoints; contains no delivery that succeeds at the first
-- attempt
create index attempt_failing on section.attempt (app_id, message_id, endpoint_id)
    where final and (state <> 0 or error_code is not null);

-- the same for one endpoint, however many failing deliveries others have
create index attempt_endpoint_failing on section.attempt (endpoint_id, message_id)
    where final and (state <> 0 or error_code is not null);

-- The state of each delivery, from whichever table has it.
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

-- Adds a partition. Attaching it locks the parent only against other such changes, so writes are not blocked.
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

-- Lets all sessions read again which partitions a table has: the change of a column to what it is makes PostgreSQL
-- discard what each session remembers of the table.
create function section.refresh_partitions(parent text) returns void language plpgsql as $$
begin
    execute format(
        'alter table only section.%I alter column %I set statistics -1', parent,
        (select attname from pg_attribute where attrelid = format('section.%I', parent)::regclass and attnum = 1)
    );
end $$;


-- Drops a partition. It locks the parent only briefly. The caller sets lock_timeout, so that no statement waits long
-- behind it.
create function section.drop_partition(parent text, name text) returns void language plpgsql as $$
begin
    execute format('alter table section.%I detach partition section.%I', parent, name);
    execute format('drop table section.%I', name);
end $$;


-- Marks the records of deliveries to one endpoint as not final, of messages from `first` to `last`. It is planned for
-- its values, so it opens only the partitions of these days and looks up each message.
create function section.reopen(endpoint uuid, messages uuid[], first uuid, last uuid)
returns void language plpgsql set plan_cache_mode = force_custom_plan as $$
begin
    update section.attempt set final = false
    where endpoint_id = endpoint and message_id = any(messages) and message_id >= first and message_id <= last and final;
end $$;


-- Messages with their payloads, unless these have expired; each message is requested once. A join with the history over
-- many days would open and lock all its partitions. So this goes day by day, with a plan for the values of each day,
-- which opens one partition.
create function section.content(app_ids uuid[], message_ids uuid[], at timestamptz)
returns table (
    app_id uuid, id uuid, event_id text, event_type text, channels text[], tags text[], endpoint_id uuid,
    content_type text, expires_at timestamptz, body bytea, trace bytea
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
               m.expires_at, p.body, m.trace
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

-- operators' own message ids, unique in the application, which no partitioned table could enforce
create table section.event_id (
    app_id uuid not null,
    event_id text not null,
    message_id uuid not null,
    primary key (app_id, event_id)
);

-- finds ids of old messages to delete
create index event_id_expiry on section.event_id (message_id);

-- idempotency keys of messages, with the message of each
create table section.idempotency (
    key bytea primary key,
    message_id uuid not null,
    app_id uuid not null,
    expires_at timestamptz not null
);

-- finds keys to delete
create index idempotency_expiry on section.idempotency (expires_at);

-- Attempts counted by endpoint and hour, for charts. `latency` counts them by duration (core/hourly_stats.py).
-- Endpoint 0 is the whole application. Counts are added in memory and written every few seconds, so a crash may lose
-- the last ones, but no row of the history. `failed_at` and `error_code`: the last failure of the hour.
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

-- What applications used, by month (UTC), for billing and limits. `org_id` and `uid` say whose it was when the application
-- is gone. Of applications that were erased, the sums of an organization stay, as application 0.
create table section.usage (
    org_id text not null,
    month timestamptz not null,  -- its first moment
    app_id uuid not null,
    uid text,
    messages bigint not null default 0,  -- accepted
    attempts bigint not null default 0,
    failed bigint not null default 0,  -- of the attempts
    delivered bigint not null default 0,  -- deliveries that ended, by their state
    exhausted bigint not null default 0,
    canceled bigint not null default 0,
    reached text[] not null default '{}',  -- limits that were reached and reported
    primary key (org_id, month, app_id)
) with (fillfactor = 80);

-- finds months to delete
create index usage_expiry on section.usage (month);

-- the months of one application
create index usage_application on section.usage (app_id, month);

-- months in which limits were reached, for metrics
create index usage_reached on section.usage (month) where reached <> '{}';

-- What was used and is not added to `usage` yet. The statement that does something counts it here, in its commit: one
-- row for each application in a batch. There is no index, and no row that two transactions update, so that intake does not
-- wait for another transaction. Rows are added up and deleted every second or so.
create table section.usage_entry (
    app_id uuid not null,
    month timestamptz not null,
    messages integer not null default 0,
    attempts integer not null default 0,
    failed integer not null default 0,
    delivered integer not null default 0,
    exhausted integer not null default 0,
    canceled integer not null default 0,
    endpoints integer  -- how many the application has, after one was created
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);

create table section.background_task (
    id uuid primary key,
    org_id text not null,
    app_id uuid,
    kind text not null,
    status text not null check (status in ('running', 'finished', 'failed', 'canceled')),
    arguments jsonb not null,
    cursor jsonb,
    data jsonb not null default '{}',
    error text check (error in ('endpoint_deleted', 'internal')),  -- why it failed
    created_at timestamptz not null,
    updated_at timestamptz not null,
    due_at timestamptz,  -- when the next step is due, if the task has a rate; null: now
    check ((status = 'failed') = (error is not null))
);

-- the list of an organization's tasks
create index background_task_list on section.background_task (org_id, id);

-- running tasks
create index background_task_running on section.background_task (id) where status = 'running';

-- the tasks of an application
create index background_task_application on section.background_task (app_id, id);

-- finds tasks to delete
create index background_task_expiry on section.background_task (updated_at) where status <> 'running';

-- counters of sandbox scenarios of an application, such as credits
create table section.sandbox_counter (
    app_id uuid not null,
    name text not null,
    value bigint not null,
    primary key (app_id, name)
);

-- temporary receivers of an application (Play), and how they respond
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

-- requests to inboxes; the oldest are deleted when an inbox is full. `verified` null: there was no secret to verify
-- with
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

-- People who get alerts about the endpoints of an application. A pending contact gets nothing but a
-- confirmation. `nonce`: of the confirmation link that is valid.
create table section.contact (
    app_id uuid not null,
    id uuid not null,
    org_id text not null,
    email text not null,
    kinds text[] not null check (kinds <@ '{endpoint.disabled,endpoint.failing,message.exhausted,quota.soft,quota.hard}'),
    status text not null check (status in ('pending', 'active', 'unsubscribed', 'bouncing')),
    nonce uuid,
    bounce text,  -- what the mail server said when it refused a mail
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (app_id, id)
);

-- an address occurs once in an application
create unique index contact_email on section.contact (app_id, lower(email));

-- What happened at an endpoint and was not sent to a recipient yet: a contact, or a channel of the operator (the ids in
-- core/alert.py). A notice is counted up until it becomes part of a mail.
create table section.notice (
    recipient_id uuid not null,
    endpoint_id uuid not null,  -- of a limit: the id of the application
    kind text not null check (
        kind in ('endpoint.disabled', 'endpoint.failing', 'message.exhausted', 'quota.soft', 'quota.hard')
    ),
    app_id uuid not null,
    count bigint not null check (count > 0),
    code text,
    first_at timestamptz not null,
    last_at timestamptz not null,
    primary key (recipient_id, endpoint_id, kind)
);

-- finds notices to delete
create index notice_expiry on section.notice (last_at);

-- The digests of a recipient so far; see Window in core/alert.py.
create table section.digest (
    recipient_id uuid primary key,
    level smallint not null check (level >= 0),
    next_at timestamptz not null
);

-- finds rows to delete
create index digest_expiry on section.digest (next_at);

-- Mails and calls of the operator's webhook. A mail that is being sent is due again after ten minutes, in case the process
-- dies. Mails that were sent stay for two days, to limit confirmations; their content does not.
create table section.mail (
    id uuid primary key,  -- also of its Message-ID
    recipient_id uuid not null,
    app_id uuid,
    email text,
    kind text not null check (kind in ('confirmation', 'digest')),
    content jsonb,
    tries smallint not null default 0,
    due_at timestamptz,  -- null: it was sent, refused or given up
    created_at timestamptz not null
);

-- mails to send
create index mail_due on section.mail (due_at) where due_at is not null;

-- whether a recipient waits for a mail
create index mail_waiting on section.mail (recipient_id) where due_at is not null;

-- the confirmations of an application, and to an address, which are limited
create index mail_application on section.mail (app_id, created_at) where kind = 'confirmation';
create index mail_address on section.mail (lower(email), created_at) where kind = 'confirmation';

-- finds mails to delete
create index mail_expiry on section.mail (created_at);

-- The audit log of this section; see control.audit.
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

-- the records of one application
create index audit_application on section.audit (app_id, id) where app_id is not null;

-- finds records to delete
create index audit_expiry on section.audit (id);
