-- name: lanes_of
-- The lanes of shards that have queued deliveries, each with its next due time. The cost depends on the number of lanes
-- and not on the backlog. `unplaced`: the first delivery of a lane has no place in the order of acceptance. `first`: the
-- message of the first delivery that was never attempted.
with recursive
-- include: lane_heads shards=unnest(:shards::smallint[])
select app_id, endpoint_id, min(due_at) as due_at, bool_or(seq is null) as unplaced,
       (array_agg(message_id) filter (where message_id is not null))[1] as first
from (select * from fresh union all select * from again) as lane
group by app_id, endpoint_id;

-- part: load_rows
-- Deliveries `due` with their messages and payloads, in order. Each lane's row with the next due time follows them.
, content as materialized (
    select c.* from (
        select array_agg(app_id) as app_ids, array_agg(message_id) as message_ids
        from (select distinct app_id, message_id from due) as wanted
    ) as wanted
    cross join lateral section.content(app_ids, message_ids, :now::timestamptz) as c
)
select * from (
    select d.endpoint_id, d.message_id, d.pending, d.state, d.failures, d.attempts, d.due_at, d.manual_at, c.event_type,
           c.body as payload, c.expires_at, c.endpoint_id is not null as test, c.content_type, d.seq,
           c.trace, null::timestamptz as next_due
    from due d
    left join content c on c.app_id = d.app_id and c.id = d.message_id
    order by d.turn
) as loaded

-- part: load_from_pending
select app_id, message_id, true as pending, 1::smallint as state, 0 as failures, 0 as attempts, due_at,
       null::timestamptz as manual_at, seq

-- part: load_from_retry
select app_id, message_id, false as pending, state, failures, attempts, due_at, manual_at, seq

-- part: load_no_row
lane.endpoint_id, null, null, null, null, null, null, null, null, null, null, null, null, null, null

-- name: load_free
-- The due deliveries of free lanes, at most `room` for each lane: manual attempts first, then the earliest. Those in
-- `pending` are read after `after`, in order of message without a gap, so the last one says where to continue. One more
-- row for each lane has its next due time after now.
with due as materialized (
    select lane.endpoint_id, d.*, row_number() over () as turn
    from unnest(:endpoint_ids::uuid[], :shards::smallint[], :afters::uuid[], :rooms::integer[])
        as lane (endpoint_id, shard, after, room)
    cross join lateral (
        select * from (
            (
                -- include: load_from_retry
                , due_at as place
                from section.retry
                where shard = lane.shard and endpoint_id = lane.endpoint_id and due_at <= :now and manual_at is not null
                order by due_at
                limit lane.room
            )
            union all
            (
                select * from (
                    -- include: load_from_retry
                    , due_at as place
                    from section.retry
                    where shard = lane.shard and endpoint_id = lane.endpoint_id and due_at <= :now
                    order by due_at
                    limit lane.room
                ) as earliest
                where manual_at is null
            )
            union all
            (
                select *, max(due_at) over (order by message_id) from (
                    -- include: load_from_pending
                    from section.pending
                    where shard = lane.shard and endpoint_id = lane.endpoint_id and message_id > lane.after
                    order by message_id
                    limit lane.room
                ) as next
            )
        ) as ready
        order by manual_at is null, place, message_id
        limit lane.room
    ) as d
)
-- include: load_rows
union all
select
    -- include: load_no_row
    , (
        select due_at from section.retry
        where shard = lane.shard and endpoint_id = lane.endpoint_id and due_at > :now
        order by due_at
        limit 1
    )
from unnest(:endpoint_ids::uuid[], :shards::smallint[]) as lane (endpoint_id, shard);

-- name: load_fifo
-- The first deliveries of first-in-first-out lanes in order of acceptance, due or not, because the first one blocks the
-- others. Those accepted for a later time are left out until they are due; one more row for each lane says when the
-- next of them is. Those in `pending` are read after `after`. Those in `retry` are few, and are read from the start.
with due as materialized (
    select lane.endpoint_id, d.*, row_number() over () as turn
    from unnest(:endpoint_ids::uuid[], :afters::bigint[], :rooms::integer[]) as lane (endpoint_id, after, room)
    cross join lateral (
        select * from (
            (
                -- include: load_from_pending
                from section.pending
                where endpoint_id = lane.endpoint_id and seq is not null and seq > lane.after
                order by seq, message_id
                limit lane.room
            )
            union all
            (
                -- include: load_from_retry
                from section.retry
                where endpoint_id = lane.endpoint_id and due_at is not null and seq is not null and not scheduled
                order by seq, message_id
                limit lane.room
            )
            union all
            (
                -- include: load_from_retry
                from section.retry
                where endpoint_id = lane.endpoint_id and due_at <= :now and seq is not null and scheduled
                order by seq, message_id
                limit lane.room
            )
        ) as ready
        order by seq, message_id
        limit lane.room
    ) as d
)
-- include: load_rows
union all
select
    -- include: load_no_row
    , (
        select due_at from section.retry
        where endpoint_id = lane.endpoint_id and due_at > :now and seq is not null and scheduled
        order by due_at
        limit 1
    )
from unnest(:endpoint_ids::uuid[]) as lane (endpoint_id);

-- name: lane_configs
-- The configuration of endpoints for sending. Those in shard 64 are listeners, to which nothing is sent.
select e.app_id, e.id, e.org_id, e.url, e.headers, e.keys, e.fifo, e.shard, e.revision,
       coalesce(e.rate_limit, a.rate_limit) as rate_limit,
       e.deleted_at is null and a.deleted_at is null and e.disabled_at is null and e.shard < 64 as active,
       e.health_generation as generation, h.failing_since, h.failures, h.run_since, h.run_until, h.clock_since
from unnest(:app_ids::uuid[], :endpoint_ids::uuid[]) as wanted (app_id, endpoint_id)
join section.endpoint e on e.app_id = wanted.app_id and e.id = wanted.endpoint_id
join section.application a on a.id = e.app_id
left join section.endpoint_health h on h.app_id = e.app_id and h.endpoint_id = e.id and h.generation = e.health_generation;

-- name: due_set_back!
-- The clock was at :before and is now at :now. Deliveries that were due stay due, and those that wait for their next
-- retry wait as long as before. A time that the sender of a message chose stays.
update section.retry
set due_at = due_at - (:before::timestamptz - :now::timestamptz),
    resume_at = resume_at - (:before::timestamptz - :now::timestamptz)
where shard = any(:shards::smallint[]) and due_at > :now and (due_at <= :before or failures > 0);
