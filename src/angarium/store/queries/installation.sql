-- name: installation_read^
-- What the database requires of the processes that use it.
select oldest_release, epoch, held_at, restored_to, accepting, pace from control.installation;

-- name: installation_raise_floor!
-- Processes older than this release do not run on the schema any more.
update control.installation set oldest_release = :oldest;

-- name: installation_lock!
-- No process reads the row until the transaction ends, so none begins in between.
lock table control.installation in access exclusive mode;

-- name: installation_hold!
-- Hold everything, in a new epoch.
update control.installation
set epoch = gen_random_uuid(), held_at = :now, restored_to = :at, accepting = :accepting, pace = null;

-- name: installation_release$
-- End the hold, at a pace. Returns whether there was one.
with released as (
    update control.installation set held_at = null, pace = :pace, paced_at = clock_timestamp()
    where held_at is not null
    returning 1
)
select exists (select from released);

-- name: installation_paced!
-- A process has to wait for the pace.
update control.installation set paced_at = clock_timestamp() where pace is not null;

-- name: installation_end_pace!
-- No process had to wait for the pace for a number of seconds.
update control.installation set pace = null
where pace is not null and paced_at < clock_timestamp() - make_interval(secs => :quiet);

-- name: release_sessions
-- Other sessions of this database. Those of other roles have no name here.
select application_name from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and application_name is not null;
