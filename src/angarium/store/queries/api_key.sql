-- name: api_key_create^
-- Store a key. If it exists, at most its application changes, from a deleted one to its replacement.
insert into control.api_key (id, org_id, app_id, scope, name, lookup, secret, created_at, beginning)
values (:id, :org_id, :app_id, :scope, :name, :lookup, :secret, :now, :beginning)
on conflict (lookup) do update set app_id = excluded.app_id
where api_key.org_id = excluded.org_id and api_key.app_id is distinct from excluded.app_id
returning id;

-- name: api_key_hold$
-- Lock an application while a key is created for it, so that it cannot be deleted or erased. No row if it is.
select app_id from control.placement where app_id = :app_id for update;

-- name: api_key_names
-- The names of an application's living keys. An organization has few keys.
select name from control.api_key where org_id = :org_id and app_id = :app_id and revoked_at is null;

-- name: api_key_find^
-- An active key by the hash of its public part, unless its application is deleted.
select k.* from control.api_key k
left join control.placement p on p.app_id = k.app_id
where k.lookup = :lookup and k.revoked_at is null and (k.app_id is null or p.app_id is not null);

-- name: api_key_list
-- The keys of an organization.
select * from control.api_key where org_id = :org_id order by id;

-- name: api_key_used!
-- Store when a key was last used.
update control.api_key set last_used_at = :now where id = :id;

-- name: api_key_revoke^
-- Revoke a key.
update control.api_key set revoked_at = :now where id = :id and org_id = :org_id and revoked_at is null
returning *;
