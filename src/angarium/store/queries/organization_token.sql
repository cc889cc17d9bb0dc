-- name: organization_token_used!
-- Record that a token was used, and delete the organization's expired ones.
with forgotten as (
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
