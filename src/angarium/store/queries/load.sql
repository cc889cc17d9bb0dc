-- name: lanes_of
-- The lanes of some shards that owe anything, each with its next due time: walks the partial index from
-- lane to lane, so the cost follows the number of lanes and not the backlog.
with recursive lane as (
    select first.*
    from unnest(:shards::smallint[]) as wanted (shard)
    cross join lateral (
        select d.shard, d.endpoint_id, d.app_id, d.due_at
        from delivery d
        where d.shard = wanted.shard and d.due_at is not null
        order by d.shard, d.endpoint_id, d.due_at
        limit 1
    ) as first
    union all
    select next.*
    from lane
    cross join lateral (
        select d.shard, d.endpoint_id, d.app_id, d.due_at
        from delivery d
        where d.shard = lane.shard and d.endpoint_id > lane.endpoint_id and d.due_at is not null
        order by d.shard, d.endpoint_id, d.due_at
        limit 1
    ) as next
)
select app_id, endpoint_id, due_at from lane;

-- name: load_free
-- The deliveries of free lanes that are due, manual attempts first and then the earliest, at most `room` for each
-- lane; and for each lane one row more with its next due time after now.
select lane.endpoint_id, d.message_id, d.state, d.failures, d.attempts, d.due_at, d.manual_at, m.event_type, m.payload, m.endpoint_id is not null as test, m.content_type, null::timestamptz as next_due
from unnest(:endpoint_ids::uuid[], :shards::smallint[], :rooms::integer[]) as lane (endpoint_id, shard, room)
cross join lateral (
    select * from (
        (
            select * from delivery
            where delivery.shard = lane.shard and delivery.endpoint_id = lane.endpoint_id
              and delivery.due_at <= :now and delivery.manual_at is not null
            order by delivery.due_at
            limit lane.room
        )
        union all
        (
            select * from (
                select * from delivery
                where delivery.shard = lane.shard and delivery.endpoint_id = lane.endpoint_id
                  and delivery.due_at <= :now
                order by delivery.due_at
                limit lane.room
            ) as earliest
            where earliest.manual_at is null
        )
    ) as ready
    order by ready.manual_at is null, ready.due_at
    limit lane.room
) as d
left join message m on m.app_id = d.app_id and m.id = d.message_id
union all
select lane.endpoint_id, null, null, null, null, null, null, null, null, null, null, (
    select delivery.due_at from delivery
    where delivery.shard = lane.shard and delivery.endpoint_id = lane.endpoint_id and delivery.due_at > :now
    order by delivery.due_at
    limit 1
)
from unnest(:endpoint_ids::uuid[], :shards::smallint[]) as lane (endpoint_id, shard);

-- name: load_fifo
-- The first deliveries of first-in-first-out lanes in order of acceptance, due or not: the head decides. Those
-- scheduled for later are left out until they are due; for each lane one row more says when the next of them is.
select lane.endpoint_id, d.message_id, d.state, d.failures, d.attempts, d.due_at, d.manual_at, m.event_type, m.payload,
       m.endpoint_id is not null as test, m.content_type, null::timestamptz as next_due
from unnest(:endpoint_ids::uuid[], :rooms::integer[]) as lane (endpoint_id, room)
cross join lateral (
    select * from (
        (
            select * from delivery
            where delivery.endpoint_id = lane.endpoint_id
              and delivery.due_at is not null and delivery.fifo and not delivery.scheduled
            order by delivery.seq
            limit lane.room
        )
        union all
        (
            select * from delivery
            where delivery.endpoint_id = lane.endpoint_id
              and delivery.due_at <= :now and delivery.fifo and delivery.scheduled
            order by delivery.seq
            limit lane.room
        )
    ) as ready
    order by ready.seq
    limit lane.room
) as d
left join message m on m.app_id = d.app_id and m.id = d.message_id
union all
select lane.endpoint_id, null, null, null, null, null, null, null, null, null, null, (
    select delivery.due_at from delivery
    where delivery.endpoint_id = lane.endpoint_id
      and delivery.due_at > :now and delivery.fifo and delivery.scheduled
    order by delivery.due_at
    limit 1
)
from unnest(:endpoint_ids::uuid[]) as lane (endpoint_id);

-- name: lane_configs
-- All that sending to these endpoints needs to know. Those of shard 64 are fetched, not sent to.
select e.app_id, e.id, e.org_id, o.profile, e.url, e.headers, e.keys, e.fifo, e.shard, e.revision,
       coalesce(e.rate_limit, a.rate_limit) as rate_limit,
       e.deleted_at is null and a.deleted_at is null and e.disabled_at is null and e.shard < 64 as active,
       e.health_generation as generation, h.failing_since, h.failures, h.run_since, h.run_until, h.clock_since
from unnest(:app_ids::uuid[], :endpoint_ids::uuid[]) as wanted (app_id, endpoint_id)
join endpoint e on e.app_id = wanted.app_id and e.id = wanted.endpoint_id
join application a on a.id = e.app_id
left join organization o on o.id = e.org_id
left join endpoint_health h on h.app_id = e.app_id and h.endpoint_id = e.id and h.generation = e.health_generation;

-- name: due_set_back!
-- The clock was at :before and is now at :now. What was due then is due still, and what waits for its next
-- retry waits as long as it would have. A time that a customer chose for a message stays.
update delivery
set due_at = due_at - (:before::timestamptz - :now::timestamptz),
    resume_at = resume_at - (:before::timestamptz - :now::timestamptz)
where shard = any(:shards::smallint[]) and due_at > :now and (due_at <= :before or failures > 0);
