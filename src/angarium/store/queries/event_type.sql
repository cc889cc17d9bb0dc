-- name: event_type_find^
-- One event type by name, archived ones too.
select * from control.event_type where org_id = :org_id and name = :name;

-- name: event_type_lock^
-- The same, for a change: the second of two concurrent changes sees the first one's result.
select * from control.event_type where org_id = :org_id and name = :name for update;

-- name: event_type_insert^
-- A new event type, or an archived one brought back; nothing when the name is in use.
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
-- Remove an event type altogether.
delete from control.event_type where org_id = :org_id and name = :name;

-- name: event_type_list_up
-- A page by name, from after the cursor; only those that one of the flags opens, unless flags is null.
select * from control.event_type
where org_id = :org_id
    and (cast(:cursor as text) is null or name > cast(:cursor as text) collate "C")
    and (:include_archived or not archived)
    and (cast(:flags as text []) is null or feature_flags = '{}' or feature_flags && cast(:flags as text []))
order by name limit :limit;

-- name: event_type_list_down
-- The same in reverse, from before the cursor.
select * from control.event_type
where org_id = :org_id
    and (cast(:cursor as text) is null or name < cast(:cursor as text) collate "C")
    and (:include_archived or not archived)
    and (cast(:flags as text []) is null or feature_flags = '{}' or feature_flags && cast(:flags as text []))
order by name desc limit :limit;

-- name: event_type_known
-- Which of these names are event types in use.
select name from control.event_type where org_id = :org_id and name = any(cast(:names as text [])) and not archived;
