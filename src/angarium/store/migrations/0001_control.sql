-- The control schema: what belongs to organizations, and which application is in which section.
--
-- Each index says what it is for. Times come from the caller, never from now(): tests run in virtual time, and
-- one clock decides.

-- an organization that is a product of its own: one without a row has the standard profile
create table control.organization (
    id text primary key,
    profile text not null,
    created_at timestamptz not null
);

-- keys of a product's own API; tokens of the native API need no row. `beginning` tells a key from others, and
-- opens nothing
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

-- finds the key that was shown, by the hash of its public part
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

-- application tokens that were logged out, by hash, until they expire by themselves
create table control.revoked_token (
    digest bytea primary key,
    expires_at timestamptz not null
);

-- finds tokens to delete
create index revoked_token_expiry on control.revoked_token (expires_at);

-- Tokens of organizations that were used. A token needs no row to be good; only what is known can be listed.
create table control.organization_token (
    org_id text not null,
    digest bytea not null,
    first_used_at timestamptz not null,
    last_used_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    primary key (org_id, digest)
);

-- finds tokens to delete; one that never expires stays
create index organization_token_expiry on control.organization_token (expires_at) where expires_at is not null;

-- application tokens ended all at once: those issued up to a time are refused from another on; an empty
-- session stands for all of them
create table control.token_cutoff (
    app_id uuid not null,
    session_id text not null,
    issued_until timestamptz not null,
    ends_at timestamptz not null,
    primary key (app_id, session_id, issued_until)
);

-- finds cutoffs to delete
create index token_cutoff_expiry on control.token_cutoff (issued_until);

-- where the tables of each living application are
create table control.placement (
    app_id uuid primary key,
    org_id text not null,
    section text not null
);

-- answers to requests with an idempotency key, but for messages, whose keys are in their section
create table control.idempotency (
    key bytea primary key,
    status smallint,
    body bytea,
    locked_until timestamptz not null,
    expires_at timestamptz not null
);

-- finds keys to delete
create index idempotency_expiry on control.idempotency (expires_at);

-- Who did what with what is in this schema, when and from where; written in the transaction of the change, and never
-- changed. No trigger guards it: no statement of this program updates it, and one deletes, by age (a test reads all
-- of them). Each section has such a table for what is in it.
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

-- what happened in one application
create index audit_application on control.audit (app_id, id) where app_id is not null;

-- finds records to delete
create index audit_expiry on control.audit (id);
