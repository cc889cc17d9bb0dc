-- name: application_find^
-- An application that is not deleted, by its id or uid.
select * from section.application
where org_id = :org_id and deleted_at is null and (id = :id or uid = :uid);

-- name: application_lock^
-- The same, locked for an update: the second of two concurrent updates sees the result of the first.
select * from section.application
where org_id = :org_id and deleted_at is null and (id = :id or uid = :uid)
for update;

-- name: application_hold$
-- Lock an application until the end of the transaction, so that what is counted does not grow. Does not block readers.
-- No row if it was deleted meanwhile. Returns its own limits.
select quota from section.application where org_id = :org_id and id = :id and deleted_at is null for no key update;

-- name: application_insert^
-- Store a new application; no row if the uid is taken.
insert into section.application (id, org_id, uid, name, rate_limit, metadata, created_at, updated_at)
values (:id, :org_id, :uid, :name, :rate_limit, :metadata, :created_at, :updated_at)
on conflict (org_id, uid) where deleted_at is null do nothing
returning *;

-- name: application_place!
-- Store in which section an application is.
insert into control.placement (app_id, org_id, section) values (:id, :org_id, :section);

-- name: application_displace!
-- Remove an application from its section, so that it is not found any more.
delete from control.placement where app_id = :id;

-- name: application_update^
-- Replace everything that can change.
update section.application
set uid = :uid, name = :name, rate_limit = :rate_limit, metadata = :metadata, updated_at = :updated_at
where id = :id and org_id = :org_id and deleted_at is null
returning *;

-- name: application_delete!
-- Mark an application as deleted; its uid can be used again.
update section.application set deleted_at = :now, updated_at = :now
where id = :id and org_id = :org_id and deleted_at is null;

-- walk: application_list
-- A page between two ids, in order of creation. Each condition looks up the endpoints of one application;
-- `offset 0` keeps it a lookup.
select * from section.application a
where a.org_id = :org_id and a.deleted_at is null and a.id > :low and a.id < :high
    and (not :with_endpoints or exists (
        select from section.endpoint e where e.living_app_id = a.id offset 0
    ))
    and (not :not_all_disabled
        or exists (select from section.endpoint e where e.living_app_id = a.id and e.disabled_at is null offset 0)
        or not exists (select from section.endpoint e where e.living_app_id = a.id offset 0))
    and (cast(:not_all_below as text[]) is null
        or exists (
            select from section.endpoint e where e.living_app_id = a.id
                and not exists (select from unnest(:not_all_below) as prefix where starts_with(e.url, prefix))
            offset 0
        )
        or not exists (select from section.endpoint e where e.living_app_id = a.id offset 0))
order by id desc limit :limit;

-- name: application_search
-- Applications of an organization with a text in their name or uid. Reads all of them.
select * from section.application
where org_id = :org_id and deleted_at is null
    and (position(lower(:text) in lower(name)) > 0 or position(lower(:text) in lower(uid)) > 0)
order by id desc limit :limit;

-- name: sandbox_counter_take$
-- Subtract from an application's counter, which is created on first use. It may fall below zero; readers clamp it.
insert into section.sandbox_counter as c (app_id, name, value)
values (:app_id, :name, cast(:start as bigint) - cast(:take as bigint))
on conflict (app_id, name) do update set value = c.value - cast(:take as bigint)
returning value;
