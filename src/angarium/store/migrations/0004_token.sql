-- Tokens of organizations that were used. A token needs no row to be good; only what is known can be listed.
create table organization_token (
    org_id text not null,
    digest bytea not null,
    first_used_at timestamptz not null,
    last_used_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    primary key (org_id, digest)
);

-- the beginning of a key: tells it from others, and opens nothing
alter table api_key add column beginning text not null default '';
