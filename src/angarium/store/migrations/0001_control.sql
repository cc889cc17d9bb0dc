-- The control schema: the tables of organizations, and the section of each application.
--
-- Each index says what it is for. Times come from the caller, never from now(), so that all of them are of one clock
-- and tests can run in virtual time.

-- What the database requires of the processes that use it: one row.
create table control.installation (
    one boolean primary key default true check (one),
    oldest_release text not null,  -- older releases do not run on this schema (store/migrate.py)
    epoch uuid not null,  -- a restore draws another one, so that processes of the time before it are refused
    -- a restore: while `held_at` is set nothing is sent, and messages are accepted only if `accepting`
    held_at timestamptz,
    restored_to timestamptz,
    accepting boolean not null default false,
    pace integer check (pace > 0),  -- deliveries a second of all processes together, until no more of them wait
    paced_at timestamptz  -- when a process last had to wait for the pace
);

insert into control.installation (oldest_release, epoch) values ('0.1.0', gen_random_uuid());

-- what each dispatcher announces, so that other processes pass deliveries directly to it (store/shard.py)
create table control.dispatcher (
    pid integer primary key,  -- of its session, which holds the lock of dispatchers; without it the row is void
    instance bytea not null,  -- differs for every process that was ever started
    addresses text[] not null,
    sealed_key bytea not null,  -- encrypts what is sent to it
    shards integer[] not null,
    tenures bigint[] not null  -- for each shard: a number that changes whenever it is taken
);

-- organizations with a profile; one without a row has the standard profile
create table control.organization (
    id text primary key,
    profile text not null,
    created_at timestamptz not null
);

-- keys of a product's own API; tokens of the native API need no row. `beginning` is for people to recognize a key, and
-- does not authenticate
create table control.api_key (
    id uuid primary key,
    org_id text not null,
    app_id uuid,
    scope text not null,
    name text not null,
    lookup bytea not null,
    secret bytea,
    created_at timestamptz not null,
    last_used_at timestamptz,
    revoked_at timestamptz,
    beginning text not null default ''
);

-- finds a key by the hash of its public part
create unique index api_key_lookup on control.api_key (lookup);

-- the keys of an organization
create index api_key_list on control.api_key (org_id, id);

-- finds revoked keys to delete
create index api_key_expiry on control.api_key (revoked_at) where revoked_at is not null;

create table control.event_type (
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

-- revoked application tokens, by hash, until they expire
create table control.revoked_token (
    digest bytea primary key,
    expires_at timestamptz not null
);

-- finds tokens to delete
create index revoked_token_expiry on control.revoked_token (expires_at);

-- Tokens of organizations that were used, for lists. A token is valid without a row.
create table control.organization_token (
    org_id text not null,
    digest bytea not null,
    first_used_at timestamptz not null,
    last_used_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    primary key (org_id, digest)
);

-- finds tokens to delete; those that never expire stay
create index organization_token_expiry on control.organization_token (expires_at) where expires_at is not null;

-- cutoffs: application tokens issued until `issued_until` are refused from `ends_at` on; an empty session means all
-- sessions
create table control.token_cutoff (
    app_id uuid not null,
    session_id text not null,
    issued_until timestamptz not null,
    ends_at timestamptz not null,
    primary key (app_id, session_id, issued_until)
);

-- finds cutoffs to delete
create index token_cutoff_expiry on control.token_cutoff (issued_until);

-- the section of each application that is not deleted
create table control.placement (
    app_id uuid primary key,
    org_id text not null,
    section text not null
);

-- responses to requests with an idempotency key, except for messages, whose keys are in their section
create table control.idempotency (
    key bytea primary key,
    status smallint,
    body bytea,
    locked_until timestamptz not null,
    expires_at timestamptz not null,
    subject bytea  -- a hash of the reference by which the request named an application
);

-- finds keys to delete
create index idempotency_expiry on control.idempotency (expires_at);

-- the responses about an application, to erase them with it
create index idempotency_subject on control.idempotency (subject) where subject is not null;

-- The audit log of this schema: who changed what, when and from where. A row is written in the transaction of the
-- change, and never updated. There is no trigger that enforces this: no statement updates the table, and one deletes
-- rows by age (a test reads all statements). Each section has such a table for its own changes.
create table control.audit (
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
create index audit_application on control.audit (app_id, id) where app_id is not null;

-- finds records to delete
create index audit_expiry on control.audit (id);
