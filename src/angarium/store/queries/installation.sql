-- name: installation_read^
-- What the database requires of the processes that use it.
select oldest_release, epoch from control.installation;

-- name: installation_raise_floor!
-- Processes older than this release do not run on the schema any more.
update control.installation set oldest_release = :oldest;

-- name: release_sessions
-- Other sessions of this database. Those of other roles have no name here.
select application_name from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and application_name is not null;
