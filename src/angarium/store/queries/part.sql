-- Parts that every file may include.
-- A partitioned table is read within bounds that are parameters, so that the planner leaves partitions out. An
-- attempt is in the partition of its message's id, a payload in that of the time at which it expires.
-- `offset 0` makes the planner keep lookups, and the order of rows.

-- part: as_pending
app_id, endpoint_id, message_id, 1::smallint as state, 0 as failures, 0 as attempts, null::smallint as status_code,
null::text as error_code, due_at, null::timestamptz as resume_at, null::timestamptz as manual_at

-- part: as_retry
app_id, endpoint_id, message_id, state, failures, attempts, status_code, error_code, due_at, resume_at, manual_at

-- part: as_over
app_id, endpoint_id, message_id, state, failures, number as attempts, status_code, error_code,
null::timestamptz as due_at, null::timestamptz as resume_at, null::timestamptz as manual_at

-- part: kept
-- the payload of message `m` can still be sent. An expired one exists until its partition is dropped
exists (select from section.payload where message_id = m.id and expires_at = m.expires_at and expires_at > :now offset 0)

-- part: payload_of
-- the payload of message `m`, unless it has expired
left join section.payload p on p.message_id = m.id and p.expires_at = m.expires_at and p.expires_at > :now

-- part: delivery_of
-- the delivery of one message to endpoint `e`
select
    -- include: as_pending
from section.pending
where shard = e.shard and endpoint_id = e.id and app_id = :app_id and message_id = :message_id
union all
select
    -- include: as_retry
from section.retry
where endpoint_id = e.id and app_id = :app_id and message_id = :message_id
union all
select
    -- include: as_over
from section.attempt
where endpoint_id = e.id and app_id = :app_id and message_id = :message_id and final

-- part: undelivered
-- undelivered deliveries that could be sent again. None of them is in the queue, where they would be retried or have a
-- manual request. A condition that follows names the endpoint of `d`
from (
    select app_id, endpoint_id, message_id, state, failures from section.attempt
    where final and (state <> 0 or error_code is not null) and state in (2, 4)
) d
join lateral (
    select id, event_type, expires_at from section.message where app_id = d.app_id and id = d.message_id and id >= :lowest
    offset 0
) m on
-- include: kept

-- part: between_messages
and message_id >= :low_message and message_id <= :high_message

-- part: own_endpoint
-- the indexes of one endpoint's attempts do not contain the application
and (select exists (select from section.endpoint where app_id = :app_id and id = :endpoint_id))

-- part: retries_of_endpoint
select
    -- include: as_retry
from section.retry
where endpoint_id = :endpoint_id and app_id = :app_id
  -- include: between_messages
order by message_id desc
limit :reach

-- part: deliveries_of_endpoint
-- the deliveries of one endpoint `d` in a stretch of messages, merged from the three tables. If the stretch is long,
-- `reach` says how many are needed; null: all
(
    (
        select
            -- include: as_pending
        from section.pending
        where shard = :shard and endpoint_id = :endpoint_id and app_id = :app_id
          -- include: between_messages
        order by message_id desc
        limit :reach
    )
    union all
    (
        -- include: retries_of_endpoint
    )
    union all
    (
        select
            -- include: as_over
        from section.attempt
        where endpoint_id = :endpoint_id and final
          -- include: between_messages
          -- include: own_endpoint
        order by message_id desc
        limit :reach
    )
) d

-- part: wanted
-- whether the endpoint `e` gets message `m`
e.disabled_at is null and (
    m.endpoint_id is not null
    or ((e.event_types is null or e.event_types && m.patterns) and (e.channels is null or e.channels && m.channels))
) as wanted

-- part: asked_for
-- the endpoints of the application, or only the one that message `m` is for
and e.id >= coalesce(m.endpoint_id, '00000000-0000-0000-0000-000000000000')
and e.id <= coalesce(m.endpoint_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')

-- part: fanned_out
-- message `m` does not wait in `fan_out` for this endpoint: its deliveries are written, or the endpoint is newer than
-- it
not exists (
    select from section.fan_out f
    where f.message_id = m.id
      and f.seq > (select first_seq from section.endpoint where app_id = :app_id and id = :endpoint_id)
    offset 0
)

-- part: lane_heads
-- the first delivery of each lane of these shards: in `pending` (`fresh`), and the next due one in `retry` (`again`).
-- Walks the indexes from lane to lane. Needs `with recursive`
fresh as (
    select first.*
    from {shards} as wanted (shard)
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
    from {shards} as wanted (shard)
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
