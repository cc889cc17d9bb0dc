-- name: organization_token_used!
-- Note that a token was used, and forget the organization's that have expired by themselves.
with forgotten as (
    delete from control.organization_token where org_id = :org_id and expires_at < :now and digest <> :digest
)
insert into control.organization_token (org_id, digest, first_used_at, last_used_at, expires_at)
values (:org_id, :digest, :now, :now, :expires_at)
on conflict (org_id, digest) do update set last_used_at = excluded.last_used_at;

-- name: organization_token_list
-- The tokens of an organization, the one that was used last first.
select * from control.organization_token where org_id = :org_id order by last_used_at desc, digest limit :limit;

-- name: organization_token_find^
-- The token of an organization whose digest begins like this.
select * from control.organization_token
where org_id = :org_id and starts_with(encode(digest, 'hex'), :start)
limit 1;

-- name: organization_token_revoke!
-- Say when it was revoked, if it is known.
update control.organization_token set revoked_at = :now
where org_id = :org_id and digest = :digest and revoked_at is null;
