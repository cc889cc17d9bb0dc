-- name: organization_profile$
-- The profile of an organization that has a row.
select profile from organization where id = :id;

-- name: organization_create!
-- An organization has one profile for good: lanes and bodies depend on it.
insert into organization (id, profile, created_at) values (:id, :profile, :now) on conflict do nothing;
