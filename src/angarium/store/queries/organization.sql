-- name: organization_profile$
-- The profile of an organization that has a row.
select profile from control.organization where id = :id;

-- name: organization_profiles
-- The profiles of those organizations that have a row.
select id, profile from control.organization where id = any(:ids::text[]);

-- name: organization_create$
-- Store the profile of an organization. It never changes, because lanes and bodies depend on it.
insert into control.organization (id, profile, created_at) values (:id, :profile, :now) on conflict do nothing
returning id;

-- name: organization_catalogue
-- Write the event types of a profile to the organizations that have it (or to one of them). Archived ones stay
-- archived.
insert into control.event_type (org_id, name, description, schemas, group_name, created_at, updated_at)
select o.id, e.name, e.description, e.schemas, e.group_name, :now, :now
from control.organization o
cross join jsonb_to_recordset(cast(:types as jsonb))
    as e (name text, description text, schemas jsonb, group_name text)
where o.profile = :profile and (cast(:id as text) is null or o.id = cast(:id as text))
order by o.id, e.name  -- prevents deadlocks between processes that start at the same time
on conflict (org_id, name) do update
set
    description = excluded.description, schemas = excluded.schemas, group_name = excluded.group_name,
    updated_at = excluded.updated_at
where (event_type.description, event_type.schemas, event_type.group_name)
    is distinct from (excluded.description, excluded.schemas, excluded.group_name)
returning org_id, name;
