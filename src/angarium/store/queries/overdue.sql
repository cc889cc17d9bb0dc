-- name: overdue_places
-- For deliveries that are due: how many of their endpoint come before each. Only so many of an endpoint are
-- looked at; those that are not found among them come later.
select wanted.endpoint_id, placed.message_id, placed.ahead
from (select distinct unnest(:endpoint_ids::uuid[]) as endpoint_id) as wanted
join endpoint e on e.app_id = :app_id and e.id = wanted.endpoint_id
cross join lateral (
    -- the order in which a lane sends
    select due.message_id,
           row_number() over (
               order by case when e.fifo then due.seq end, not e.fifo and due.manual_at is null, due.due_at
           ) - 1 as ahead
    from (
        select d.message_id, d.due_at, d.manual_at, d.seq
        from delivery d
        where d.shard = e.shard and d.endpoint_id = e.id and d.due_at <= :now
        order by d.due_at
        limit :looked_at
    ) as due
) as placed
where placed.message_id = any(:message_ids::uuid[]);

-- name: overdue_endpoints
-- The backlogs of endpoints: attempts that ended since `:since` (an attempt id), how many deliveries are due, each up to
-- a bound, and for first-in-first-out endpoints when the first is due.
select e.id,
       (
           select count(*) from (
               select from attempt a
               where a.app_id = :app_id and a.endpoint_id = e.id and a.id >= :since
               limit :counted
           ) as ended
       ) as recent,
       (
           select count(*) from (
               select from delivery d
               where d.shard = e.shard and d.endpoint_id = e.id and d.due_at <= :now
               limit :counted
           ) as due
       ) as due,
       (
           select d.due_at from delivery d
           where e.fifo and d.endpoint_id = e.id and d.due_at is not null and d.fifo and not d.scheduled
           order by d.seq
           limit 1
       ) as head_due
from endpoint e
where e.app_id = :app_id and e.id = any(:endpoint_ids::uuid[]);
