-- name: shard_join^
-- Be counted: a shared lock that every dispatcher holds.
select pg_advisory_lock_shared(1097755489, -1);

-- name: shard_members$
-- How many dispatchers hold the shared lock in this database.
select count(*)::integer
from pg_locks
where locktype = 'advisory' and classid = 1097755489 and objid = 4294967295 and objsubid = 2
  and mode = 'ShareLock' and granted
  and database = (select oid from pg_database where datname = current_database());

-- name: shard_oust$
-- End the sessions of dispatchers that have said nothing for so many seconds, by the clock that notes it.
select count(pg_terminate_backend(a.pid))::integer
from pg_stat_activity a
where a.datname = current_database()
  and a.pid <> pg_backend_pid()
  and extract(epoch from clock_timestamp() - a.state_change) > :silence::float8
  and a.pid in (
    select pid from pg_locks
    where locktype = 'advisory' and classid = 1097755489 and objid = 4294967295 and objsubid = 2
      and mode = 'ShareLock' and granted and database = a.datid
  );

-- name: shard_take
-- Own those of the shards that nobody owns.
select shard, pg_try_advisory_lock(1097755489, shard) as taken from unnest(:shards::integer[]) as shard;

-- name: shard_give^
-- Let go of shards.
select bool_and(pg_advisory_unlock(1097755489, shard)) from unnest(:shards::integer[]) as shard;
