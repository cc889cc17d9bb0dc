-- name: lanes_of
-- The lanes of some shards with something in the queue, each with its next due time: walks the indexes from lane
-- to lane, so the cost follows the number of lanes and not the backlog. `unplaced`: the first delivery of a lane has no
-- place in the order of acceptance. `first`: the message of the first that was never attempted; what is before it is done.
with recursive fresh as (
    select first.*
    from unnest(:shards::smallint[]) as wanted (shard)
    cross join lateral (
        select p.shard, p.endpoint_id, p.app_id, p.due_at, p.seq, p.message_id
        from section.pending p
        where p.shard = wanted.shard
        order by p.shard, p.endpoint_id, p.message_id
        limit 1
    ) as first
    union all
    select next.*
    from fresh
    cross join lateral (
        select p.shard, p.endpoint_id, p.app_id, p.due_at, p.seq, p.message_id
        from section.pending p
        where p.shard = fresh.shard and p.endpoint_id > fresh.endpoint_id
        order by p.shard, p.endpoint_id, p.message_id
        limit 1
    ) as next
),
again as (
    select first.*
    from unnest(:shards::smallint[]) as wanted (shard)
    cross join lateral (
        select r.shard, r.endpoint_id, r.app_id, r.due_at, r.seq, null::uuid as message_id
        from section.retry r
        where r.shard = wanted.shard and r.due_at is not null
        order by r.shard, r.endpoint_id, r.due_at
        limit 1
    ) as first
    union all
    select next.*
    from again
    cross join lateral (
        select r.shard, r.endpoint_id, r.app_id, r.due_at, r.seq, null::uuid as message_id
        from section.retry r
        where r.shard = again.shard and r.endpoint_id > again.endpoint_id and r.due_at is not null
        order by r.shard, r.endpoint_id, r.due_at
        limit 1
    ) as next
)
select app_id, endpoint_id, min(due_at) as due_at, bool_or(seq is null) as unplaced,
       (array_agg(message_id) filter (where message_id is not null))[1] as first
from (select * from fresh union all select * from again) as lane
group by app_id, endpoint_id;

-- part: load_rows
-- Deliveries `due` with what is sent, in their order. The row of a lane that says when more is due comes after them.
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
           null::timestamptz as next_due
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
lane.endpoint_id, null, null, null, null, null, null, null, null, null, null, null, null, null

-- name: load_free
-- The deliveries of free lanes that are due, at most `room` for each lane: manual attempts first, then the earliest.
-- Pending ones are read from behind `after`, and come in order of their messages without a gap, so that the last of
-- them says where to read on. For each lane one row more has its next due time after now.
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
-- The first deliveries of first-in-first-out lanes in order of acceptance, due or not: the head decides. Those
-- accepted for a later time are left out until they are due; for each lane one row more says when the next of them is.
-- Pending ones are read from behind `after`. What is attempted again is little, and is read from its beginning.
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
-- All that sending to these endpoints needs to know. Those of shard 64 are fetched, not sent to.
select e.app_id, e.id, e.org_id, e.url, e.headers, e.keys, e.fifo, e.shard, e.revision,
       coalesce(e.rate_limit, a.rate_limit) as rate_limit,
       e.deleted_at is null and a.deleted_at is null and e.disabled_at is null and e.shard < 64 as active,
       e.health_generation as generation, h.failing_since, h.failures, h.run_since, h.run_until, h.clock_since
from unnest(:app_ids::uuid[], :endpoint_ids::uuid[]) as wanted (app_id, endpoint_id)
join section.endpoint e on e.app_id = wanted.app_id and e.id = wanted.endpoint_id
join section.application a on a.id = e.app_id
left join section.endpoint_health h on h.app_id = e.app_id and h.endpoint_id = e.id and h.generation = e.health_generation;

-- name: due_set_back!
-- The clock was at :before and is now at :now. What was due then is due still, and what waits for its next
-- retry waits as long as it would have. A time that a customer chose for a message stays.
update section.retry
set due_at = due_at - (:before::timestamptz - :now::timestamptz),
    resume_at = resume_at - (:before::timestamptz - :now::timestamptz)
where shard = any(:shards::smallint[]) and due_at > :now and (due_at <= :before or failures > 0);
