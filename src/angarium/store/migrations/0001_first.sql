-- The whole schema of the first release. Each index says what it is for.
-- Times come from the caller, never from now(): tests run in virtual time, and one clock decides.

-- an organization that is a product of its own: one without a row has the standard profile
create table organization (
    id text primary key,
    profile text not null,
    created_at timestamptz not null
);

-- keys of a product's own API; tokens of the native API need no row
create table api_key (
    id uuid primary key,
    org_id text not null,
    app_id uuid,
    scope text not null,
    name text not null,
    lookup bytea not null,
    secret bytea,
    created_at timestamptz not null,
    last_used_at timestamptz,
    revoked_at timestamptz
);

-- finds the key that was shown, by the hash of its public part
create unique index api_key_lookup on api_key (lookup);

-- the keys of an organization
create index api_key_list on api_key (org_id, id);

create table application (
    id uuid primary key,
    org_id text not null,
    uid text,
    name text not null,
    rate_limit integer,
    metadata jsonb not null default '{}',
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz
);

-- a uid is unique among the living applications of an organization, and finds them
create unique index application_uid on application (org_id, uid) where deleted_at is null;

-- the list of an organization's applications, in order of creation
create index application_list on application (org_id, id) where deleted_at is null;

create table event_type (
    org_id text not null,
    name text collate "C" not null,
    description text not null,
    schemas jsonb,
    archived boolean not null default false,
    deprecated boolean not null default false,
    feature_flags text[] not null default '{}',
    group_name text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (org_id, name)
);

create table endpoint (
    app_id uuid not null,
    id uuid not null,
    org_id text not null,
    uid text,
    url text not null,
    name text,
    description text not null default '',
    version integer not null default 1,
    rate_limit integer,
    event_types text[],
    channels text[],
    metadata jsonb not null default '{}',
    headers bytea,
    keys bytea not null,
    fifo boolean not null default false,
    shard smallint not null,
    disabled_at timestamptz,
    disabled_reason text,
    revision bigint not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz,
    primary key (app_id, id)
);

-- a uid is unique among the living endpoints of an application, and finds them
create unique index endpoint_uid on endpoint (app_id, uid) where deleted_at is null;

-- written by the owner of the lane when health changes; apart from endpoint so that edits and sending
-- never wait for each other
create table endpoint_health (
    app_id uuid not null,
    endpoint_id uuid not null,
    failing_since timestamptz,
    failures integer not null default 0,
    primary key (app_id, endpoint_id)
);

create table message (
    app_id uuid not null,
    id uuid not null,
    event_id text,
    event_type text not null,
    payload bytea,
    channels text[],
    tags text[],
    -- the one endpoint that an example was for; no other is ever owed it
    endpoint_id uuid,
    expires_at timestamptz not null,
    primary key (app_id, id)
);

-- finds payloads to forget; expires_at is rounded up to the hour, so the index stays small by deduplication
create index message_expiry on message (expires_at) where payload is not null;

-- an operator's own message id, unique in the application; a table of its own, so that message can be
-- partitioned by id and messages without one pay nothing
create table event_id (
    app_id uuid not null,
    event_id text not null,
    message_id uuid not null,
    primary key (app_id, event_id)
);

create table delivery (
    app_id uuid not null,
    endpoint_id uuid not null,
    message_id uuid not null,
    seq bigint generated always as identity,
    shard smallint not null,
    fifo boolean not null,
    state smallint not null default 1,
    failures smallint not null default 0,
    attempts smallint not null default 0,
    due_at timestamptz,
    resume_at timestamptz,
    manual_at timestamptz,
    primary key (app_id, endpoint_id, message_id)
);

-- what a lane owes and when: a lane loads its next deliveries, a shard finds its lanes by skipping along
create index delivery_due on delivery (shard, endpoint_id, due_at) where due_at is not null;

-- the same in order of acceptance, for first-in-first-out lanes only
create index delivery_fifo on delivery (endpoint_id, seq) where due_at is not null and fifo;

create table attempt (
    app_id uuid not null,
    message_id uuid not null,
    id uuid not null,
    endpoint_id uuid not null,
    number smallint not null,
    manual boolean not null,
    status smallint not null,
    status_code smallint not null,
    error_code text,
    error text,
    response bytea,
    duration_ms integer not null,
    next_at timestamptz,
    url text not null,
    primary key (app_id, message_id, id)
);

-- the attempts of one endpoint, newest first
create index attempt_endpoint on attempt (app_id, endpoint_id, id);

create table idempotency (
    key bytea primary key,
    message_id uuid,
    app_id uuid,
    status smallint,
    body bytea,
    locked_until timestamptz not null,
    expires_at timestamptz not null
);

-- finds keys to forget
create index idempotency_expiry on idempotency (expires_at);

create table background_task (
    id uuid primary key,
    org_id text not null,
    app_id uuid,
    kind text not null,
    status text not null,
    arguments jsonb not null,
    cursor jsonb,
    data jsonb not null default '{}',
    created_at timestamptz not null,
    updated_at timestamptz not null
);

-- the list of an organization's tasks
create index background_task_list on background_task (org_id, id);

-- tasks to go on with
create index background_task_running on background_task (id) where status = 'running';

-- application tokens that were logged out, by hash, until they expire by themselves
create table revoked_token (
    digest bytea primary key,
    expires_at timestamptz not null
);

-- finds tokens to forget
create index revoked_token_expiry on revoked_token (expires_at);

-- numbers that sandbox scenarios keep for an application, such as credits
create table sandbox_counter (
    app_id uuid not null,
    name text not null,
    value bigint not null,
    primary key (app_id, name)
);

-- application tokens ended all at once: those issued up to a time are refused from another on; an empty
-- session stands for all of them
create table token_cutoff (
    app_id uuid not null,
    session_id text not null,
    issued_until timestamptz not null,
    ends_at timestamptz not null,
    primary key (app_id, session_id, issued_until)
);
