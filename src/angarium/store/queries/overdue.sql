-- part: overdue_due
-- the due deliveries of an endpoint, at most a number; a listener has none in `pending`
(
    (
        select message_id, due_at, null::timestamptz as manual_at, seq
        from section.pending
        where shard = e.shard and endpoint_id = e.id
        order by message_id
        limit :most
    )
    union all
    (
        select message_id, due_at, manual_at, seq
        from section.retry
        where shard = e.shard and endpoint_id = e.id and due_at <= :now
        order by due_at
        limit :most
    )
    order by due_at
    limit :most
)

-- name: overdue_places
-- For due deliveries: how many of the same endpoint come before each. Only a number of deliveries of an endpoint are
-- read; those that are not among them come later and are left out.
select wanted.endpoint_id, placed.message_id, placed.ahead
from (select distinct unnest(:endpoint_ids::uuid[]) as endpoint_id) as wanted
join section.endpoint e on e.app_id = :app_id and e.id = wanted.endpoint_id
cross join lateral (
    -- the order in which a lane sends
    select due.message_id,
           row_number() over (
               order by case when e.fifo then due.seq end, not e.fifo and due.manual_at is null, due.due_at
           ) - 1 as ahead
    from
        -- include: overdue_due
        as due
) as placed
where placed.message_id = any(:message_ids::uuid[]);

-- name: overdue_endpoints
-- The backlogs of endpoints: attempts since `:since` (an attempt id) for messages from `:oldest` to `:newest`, so that
-- partitions of other days are not read, and due deliveries, both counted up to a number. For first-in-first-out
-- endpoints also when the first delivery is due, and the fault on our side for which they wait.
select e.id,
       (
           select count(*) from (
               select from section.attempt a
               where a.app_id = :app_id and a.endpoint_id = e.id and a.id >= :since and a.status is not null
                 and a.message_id >= :oldest and a.message_id <= :newest
               limit :most
           ) as ended
       ) as recent,
       (
           select count(*) from
               -- include: overdue_due
               as due
       ) as due,
       (
           select due_at from (
               (
                   select seq, due_at from section.pending
                   where e.fifo and endpoint_id = e.id and seq is not null
                   order by seq
                   limit 1
               )
               union all
               (
                   select seq, due_at from section.retry
                   where e.fifo and endpoint_id = e.id and due_at is not null and seq is not null and not scheduled
                   order by seq
                   limit 1
               )
           ) as head
           order by seq
           limit 1
       ) as head_due,
       hold.code as hold_code, hold.since as hold_since
from section.endpoint e
left join lateral (
    select l.code, l.since from section.held_lane l
    join section.fault f on f.process = l.process and f.code = l.code
    where l.endpoint_id = e.id and f.noted_at >= :noted_since
    order by f.noted_at desc
    limit 1
) as hold on true
where e.app_id = :app_id and e.id = any(:endpoint_ids::uuid[]);
