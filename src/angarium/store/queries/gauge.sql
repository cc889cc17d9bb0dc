-- What metrics show of the database. Each statement is bounded, and has a time limit of its own.

-- name: gauge_begin^
-- Give up soon, in this transaction.
select set_config('statement_timeout', :timeout, true), set_config('lock_timeout', :timeout, true);

-- name: gauge_shards$
-- How many shards have an owner.
select count(distinct objid)::integer from pg_locks
where locktype = 'advisory' and classid = 1097755489 and objid < 64 and objsubid = 2
  and mode = 'ExclusiveLock' and granted
  and database = (select oid from pg_database where datname = current_database());

-- name: gauge_queue^
-- The rows of the queue by state, among at most a number of rows of each table.
select pending.due + retry.due as due, pending.scheduled + retry.scheduled as scheduled, retry.waiting,
       fan_out.messages as fan_out, greatest(pending.rows, retry.rows, fan_out.messages) >= :most as more
from (
    select count(*) as rows, count(*) filter (where due_at <= :now) as due,
           count(*) filter (where due_at > :now) as scheduled
    from (select due_at from section.pending limit :most) as found
) as pending
cross join (
    select count(*) as rows, count(*) filter (where due_at <= :now) as due,
           count(*) filter (where due_at > :now) as scheduled,
           count(*) filter (where due_at is null) as waiting
    from (select due_at from section.retry where shard < 64 limit :most) as found
) as retry
cross join (select count(*) as messages from (select from section.fan_out limit :most) as found) as fan_out;

-- name: gauge_old_key_endpoints$
-- Endpoints with sealed values that another key than this one encrypts, at most a number.
select count(*)::integer from (
    select from section.endpoint
    where substring(keys for length(:key::bytea)) <> :key or substring(headers for length(:key::bytea)) <> :key
    limit :most
) as endpoint;

-- name: gauge_old_key_responses$
-- The same of stored responses.
select count(*)::integer from (
    select from control.idempotency where substring(body for length(:key::bytea)) <> :key limit :most
) as response;

-- name: gauge_tasks^
-- Running background tasks, at most a number, and when the oldest was created.
select count(*)::integer as running, min(created_at) as oldest
from (select created_at from section.background_task where status = 'running' order by id limit :most) as task;

-- name: gauge_endpoints^
-- Failing and disabled endpoints, at most a number of each.
select
    (select count(*) from (
        select from section.endpoint_health where failing_since is not null limit :most
    ) as found)::integer as failing,
    (select count(*) from (
        select from section.endpoint where disabled_at is not null and deleted_at is null limit :most
    ) as found)::integer as disabled;

-- name: gauge_server^
-- The size of the database in bytes, and how many transactions ago its oldest row was frozen.
select pg_database_size(oid) as bytes, age(datfrozenxid)::integer as xid_age
from pg_database where datname = current_database();

-- name: gauge_oldest
-- When the oldest due delivery was due, among at most a number of lanes whose next delivery was due before `:before`.
-- `held`: the state or the settings of its endpoint may hold it back.
with recursive
-- include: lane_heads shards=generate_series(0, 63)
select held, min(due_at) as due_at
from (
    select lane.due_at,
           e.fifo or coalesce(e.rate_limit, a.rate_limit) is not null
               or coalesce(h.failures >= :failing and h.generation = e.health_generation, false) as held
    from (
        (select * from fresh where due_at < :before limit :most)
        union all
        (select * from again where due_at < :before limit :most)
    ) as lane
    join section.endpoint e on e.app_id = lane.app_id and e.id = lane.endpoint_id
    join section.application a on a.id = lane.app_id
    left join section.endpoint_health h on h.app_id = lane.app_id and h.endpoint_id = lane.endpoint_id
    where e.disabled_at is null and e.deleted_at is null
) as lane
group by held;

-- name: gauge_quotas
-- How many applications have reached each limit in a month.
select one as reached, count(*) as applications
from (select reached from section.usage where month = :month and reached <> '{}' limit :most) as u
cross join unnest(u.reached) as one
group by 1;
