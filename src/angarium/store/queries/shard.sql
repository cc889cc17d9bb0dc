-- name: shard_join^
-- Take the shared lock that every dispatcher holds, by which they are counted.
select pg_advisory_lock_shared(1097755489, -1);

-- name: shard_leave^
-- Take the shared lock of dispatchers that stop, beside that of all.
select pg_advisory_lock_shared(1097755489, -3);

-- part: shard_member
-- the sessions that hold the shared lock in this database
locktype = 'advisory' and classid = 1097755489 and objid = 4294967295 and objsubid = 2
and mode = 'ShareLock' and granted
and database = (select oid from pg_database where datname = current_database())

-- name: shard_members
-- The dispatchers' sessions, each with a mark that changes with every query, whether it leaves, and what it announced.
select l.pid, a.state_change as mark,
       exists (
           select from pg_locks as other
           where other.locktype = 'advisory' and other.classid = 1097755489 and other.objid = 4294967293
             and other.objsubid = 2 and other.granted and other.database = l.database and other.pid = l.pid
       ) as leaving,
       d.instance, d.addresses, d.sealed_key, d.shards, d.tenures
from pg_locks l
left join pg_stat_activity a on a.pid = l.pid
left join control.dispatcher d on d.pid = l.pid
where
  -- include: shard_member
;

-- name: shard_announce!
-- Announce this session: where its process listens, and which shards it owns. Announcements of ended sessions go.
with gone as (
    delete from control.dispatcher
    where pid <> pg_backend_pid()
      and pid not in (
        select pid from pg_locks
        where
          -- include: shard_member
      )
)
insert into control.dispatcher (pid, instance, addresses, sealed_key, shards, tenures)
values (pg_backend_pid(), :instance, :addresses, :sealed_key, :shards, :tenures)
on conflict (pid) do update
set instance = excluded.instance, addresses = excluded.addresses, sealed_key = excluded.sealed_key,
    shards = excluded.shards, tenures = excluded.tenures;

-- name: shard_withdraw!
-- Withdraw what an earlier session with the same process id announced.
delete from control.dispatcher where pid = pg_backend_pid();

-- name: shard_evict$
-- End these sessions of dispatchers, unless they have sent a query since.
select count(pg_terminate_backend(a.pid))::integer
from unnest(:pids::integer[], :marks::timestamptz[]) as silent (pid, mark)
join pg_stat_activity a on a.pid = silent.pid and a.state_change = silent.mark
where a.pid <> pg_backend_pid()
  and a.pid in (
    select pid from pg_locks
    where
      -- include: shard_member
  );

-- name: shard_take
-- Take those of the shards that have no owner.
select shard, pg_try_advisory_lock(1097755489, shard) as taken from unnest(:shards::integer[]) as shard;

-- name: shard_release^
-- Release shards.
select bool_and(pg_advisory_unlock(1097755489, shard)) from unnest(:shards::integer[]) as shard;
