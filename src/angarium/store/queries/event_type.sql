-- name: event_type_find^
-- An event type by name, archived or not.
select * from control.event_type where org_id = :org_id and name = :name;

-- name: event_type_lock^
-- The same, locked for an update: the second of two concurrent updates sees the result of the first.
select * from control.event_type where org_id = :org_id and name = :name for update;

-- name: event_type_insert^
-- Store a new event type, or restore an archived one; no row if the name is in use.
insert into control.event_type (
    org_id, name, description, schemas, archived, deprecated, feature_flags, group_name, created_at, updated_at
)
values (
    :org_id, :name, :description, :schemas, :archived, :deprecated, :feature_flags, :group_name, :created_at,
    :updated_at
)
on conflict (org_id, name) do update
set
    description = excluded.description, schemas = excluded.schemas, archived = excluded.archived,
    deprecated = excluded.deprecated, feature_flags = excluded.feature_flags, group_name = excluded.group_name,
    updated_at = excluded.updated_at
where event_type.archived
returning *;

-- name: event_type_update^
-- Replace everything that can change.
update control.event_type
set
    description = :description, schemas = :schemas, archived = :archived, deprecated = :deprecated,
    feature_flags = :feature_flags, group_name = :group_name, updated_at = :updated_at
where org_id = :org_id and name = :name
returning *;

-- name: event_type_expunge!
-- Delete an event type.
delete from control.event_type where org_id = :org_id and name = :name;

-- part: event_type_listed
-- Unless flags is null, only event types without flags or with one of them.
org_id = :org_id and (:include_archived or not archived)
and (cast(:flags as text []) is null or feature_flags = '{}' or feature_flags && cast(:flags as text []))

-- name: event_type_list_up
-- A page by name, after the cursor.
select * from control.event_type
where
    -- include: event_type_listed
    and (cast(:cursor as text) is null or name > cast(:cursor as text) collate "C")
order by name limit :limit;

-- name: event_type_list_down
-- The same in reverse, before the cursor.
select * from control.event_type
where
    -- include: event_type_listed
    and (cast(:cursor as text) is null or name < cast(:cursor as text) collate "C")
order by name desc limit :limit;

-- name: event_type_known
-- Which of these names are event types in use.
select name from control.event_type where org_id = :org_id and name = any(cast(:names as text [])) and not archived;
