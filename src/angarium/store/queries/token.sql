-- name: organization_token_used!
-- Record that a token was used, and delete the organization's expired ones.
with expired as (
    delete from control.organization_token where org_id = :org_id and expires_at < :now and digest <> :digest
)
insert into control.organization_token (org_id, digest, first_used_at, last_used_at, expires_at)
values (:org_id, :digest, :now, :now, :expires_at)
on conflict (org_id, digest) do update set last_used_at = excluded.last_used_at;

-- name: organization_token_list
-- The tokens of an organization, the most recently used first.
select * from control.organization_token where org_id = :org_id order by last_used_at desc, digest limit :limit;

-- name: organization_token_find^
-- The token of an organization whose digest starts with a prefix.
select * from control.organization_token
where org_id = :org_id and starts_with(encode(digest, 'hex'), :start)
limit 1;

-- name: organization_token_revoke!
-- Store when a token was revoked, if it has a row.
update control.organization_token set revoked_at = :now
where org_id = :org_id and digest = :digest and revoked_at is null;

-- name: revoked_token_create!
-- Store a revoked token, and delete those that have expired.
with expired as (delete from control.revoked_token where expires_at < :now)
insert into control.revoked_token (digest, expires_at) values (:digest, :expires_at) on conflict do nothing;

-- name: revoked_token_is_ended$
-- Whether one of the credentials (tokens and keys) was revoked, or a cutoff of the application or session applies.
select exists (select from control.revoked_token where digest = any(cast(:digests as bytea [])))
    or exists (
        select from control.api_key where lookup = any(cast(:digests as bytea [])) and revoked_at is not null
    )
    or exists (
        select from control.token_cutoff
        where app_id = :app_id and session_id in ('', :session_id)
            and issued_until >= :issued_at and ends_at <= :now
    );

-- name: revoked_token_end_all!
-- Store a cutoff, and delete those that it covers. An application that was deleted has no tokens to end.
with covered as (
    delete from control.token_cutoff
    where app_id = :app_id and session_id = :session_id
        and issued_until < :issued_until and ends_at >= :ends_at
)
insert into control.token_cutoff (app_id, session_id, issued_until, ends_at)
select :app_id, :session_id, :issued_until, :ends_at
where exists (select from control.placement where app_id = :app_id)
on conflict (app_id, session_id, issued_until) do update
set ends_at = least(token_cutoff.ends_at, excluded.ends_at);
