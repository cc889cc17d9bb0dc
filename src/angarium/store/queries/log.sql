-- The log of an application: its deliveries by (message, endpoint). There are four walks along indexes. For each, a
-- query finds the first key that the walk does not reach after a number of rows. A page reads no further than that, so
-- its cost is bounded for any filter, and only the partitions in between are read. Keys are excluded at both ends.
-- A delivery is recorded in one of three tables, so a walk along deliveries merges them.

-- name: log_endpoints
-- the endpoints of an application as the log shows them, including those that were deleted since then
select id, url, name, description, disabled_at is not null as disabled, deleted_at
from section.endpoint
where app_id = :app_id and (deleted_at is null or deleted_at >= :since)
order by id;

-- part: log_failing
-- the condition of the index retry_failing; deliveries in `pending` are never failing
and (state in (2, 4) or (state = 1 and failures > 0) or error_code is not null)

-- part: log_between
and (message_id, endpoint_id) > (:low_message, :low_endpoint)
and (message_id, endpoint_id) < (:high_message, :high_endpoint)

-- part: log_of_endpoint_failing
-- the failing deliveries of one endpoint in `retry`; the others there are few, and are read and left out
(
    (
        -- include: retries_of_endpoint
    )
    union all
    (
        select
            -- include: as_over
        from section.attempt
        where endpoint_id = :endpoint_id and final and (state <> 0 or error_code is not null)
          -- include: between_messages
          -- include: own_endpoint
        order by message_id desc
        limit :reach
    )
) d

-- part: log_of_failing
-- the failing deliveries
(
    (
        select
            -- include: as_retry
        from section.retry
        where app_id = :app_id
          -- include: log_failing
          -- include: between_messages
          -- include: log_between
        order by message_id desc, endpoint_id desc
        limit :reach
    )
    union all
    (
        select
            -- include: as_over
        from section.attempt
        where app_id = :app_id and final and (state <> 0 or error_code is not null)
          -- include: between_messages
          -- include: log_between
        order by message_id desc, endpoint_id desc
        limit :reach
    )
) d

-- walk: log_message_end$
-- the first message that a walk along the primary key of message does not reach
select id from section.message
where app_id = :app_id and id >= :low_message and id <= :high_message
order by id desc
offset :rows limit 1;

-- walk: log_endpoint_end$
-- the first message that a walk along the deliveries of one endpoint does not reach
select d.message_id from
-- include: deliveries_of_endpoint
order by d.message_id desc
offset :rows limit 1;

-- walk: log_endpoint_failing_end$
-- the first message that a walk along the failing deliveries of one endpoint does not reach
select d.message_id from
-- include: log_of_endpoint_failing
order by d.message_id desc
offset :rows limit 1;

-- walk: log_failing_end^
-- the first delivery that a walk along the failing deliveries does not reach
select d.message_id, d.endpoint_id from
-- include: log_of_failing
order by d.message_id desc, d.endpoint_id desc
offset :rows limit 1;

-- part: log_row
d.message_id, d.endpoint_id, d.state, d.failures, d.attempts, d.status_code, d.error_code, d.due_at, d.resume_at,
d.manual_at, m.event_id, m.event_type, m.tags, m.channels, m.expires_at

-- part: log_wanted_message
and (:event_type::text is null or event_type = :event_type)
and (:event_prefix::text is null or event_type ^@ :event_prefix)
and (:tag::text is null or :tag = any(tags))
and (:channel::text is null or :channel = any(channels))

-- part: log_wanted_delivery
and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
and (:http_low::smallint is null or d.status_code between :http_low and :http_low + 99)
and (:error_kind::text is null or d.error_code = :error_kind or d.error_code ^@ (:error_kind || '_'))
and (not :sendable or d.manual_at is null)

-- part: log_sendable
and (
    not :sendable or
    -- include: kept
)

-- part: log_messages
-- along the messages, with a lookup of the delivery of each to each endpoint
from (
    select id, event_id, event_type, tags, channels, expires_at from section.message
    where app_id = :app_id and id >= :low_message and id <= :high_message
      -- include: log_wanted_message

-- part: log_of_messages
    order by id desc
    offset 0
) m
cross join lateral (
    select d.* from (
        select p.* from unnest(:endpoint_ids::uuid[], :shards::smallint[]) as e (id, shard)
        cross join lateral (
            select
                -- include: as_pending
            from section.pending
            where shard = e.shard and endpoint_id = e.id and message_id = m.id and app_id = :app_id
            offset 0
        ) p
        union all
        select
            -- include: as_retry
        from section.retry
        where endpoint_id = any(:endpoint_ids::uuid[]) and message_id = m.id and app_id = :app_id
        union all
        select
            -- include: as_over
        from section.attempt
        where endpoint_id = any(:endpoint_ids::uuid[]) and message_id = m.id and app_id = :app_id and final
          -- include: between_messages
    ) d
    where (m.id > :low_message or d.endpoint_id > :low_endpoint)
      and (m.id < :high_message or d.endpoint_id < :high_endpoint)
      -- include: log_wanted_delivery
    offset 0
) d
where true
  -- include: log_sendable

-- part: log_message_of
-- a lookup of the message of each delivery
join lateral (
    select id, event_id, event_type, tags, channels, expires_at from section.message
    where app_id = :app_id and id = d.message_id and id >= :low_message and id <= :high_message
      -- include: log_wanted_message
    offset 0
) m on true
where true
  -- include: log_between
  -- include: log_wanted_delivery
  -- include: log_sendable

-- walk: log_message
select
    -- include: log_row
-- include: log_messages
-- include: log_of_messages
order by m.id desc, d.endpoint_id desc
limit :limit;

-- walk: log_endpoint
-- along the deliveries of one endpoint
select
    -- include: log_row
from
-- include: deliveries_of_endpoint
-- include: log_message_of
order by d.message_id desc
limit :limit;

-- walk: log_endpoint_failing
-- along the failing deliveries of one endpoint
select
    -- include: log_row
from
-- include: log_of_endpoint_failing
-- include: log_message_of
  -- include: log_failing
order by d.message_id desc
limit :limit;

-- walk: log_failing
-- along the failing deliveries
select
    -- include: log_row
from
-- include: log_of_failing
-- include: log_message_of
  and d.endpoint_id = any(:endpoint_ids::uuid[])
order by d.message_id desc, d.endpoint_id desc
limit :limit;

-- If the filter also selects messages, looking up each delivery would be slow when few match. So the messages of all
-- deliveries in the stretch are looked up first, and the delivery only of those that match. With a list of ids as a
-- condition, the planner might read all messages of the stretch instead, as PostgreSQL 15 does.

-- part: log_among
from (
    select m.* from (
        select distinct d.message_id from

-- part: log_among_messages
    ) as found
    cross join lateral (
        select id, event_id, event_type, tags, channels, expires_at from section.message
        where app_id = :app_id and id = found.message_id and id >= :low_message and id <= :high_message
          -- include: log_wanted_message
        offset 0
    ) as m

-- part: log_among_endpoint
-- include: log_among
        -- include: deliveries_of_endpoint
        where true
        -- include: log_wanted_delivery
-- include: log_among_messages
-- include: log_of_messages

-- walk: log_endpoint_among
-- the messages of the deliveries of one endpoint
select
    -- include: log_row
-- include: log_among_endpoint
order by m.id desc, d.endpoint_id desc
limit :limit;

-- name: log_endpoint_among_count$
select count(*)
-- include: log_among_endpoint
;

-- part: log_among_endpoint_failing
-- include: log_among
        -- include: log_of_endpoint_failing
        where true
        -- include: log_wanted_delivery
-- include: log_among_messages
-- include: log_of_messages

-- walk: log_endpoint_failing_among
-- the messages of the failing deliveries of one endpoint
select
    -- include: log_row
-- include: log_among_endpoint_failing
order by m.id desc, d.endpoint_id desc
limit :limit;

-- name: log_endpoint_failing_among_count$
select count(*)
-- include: log_among_endpoint_failing
;

-- part: log_among_failing
-- include: log_among
        -- include: log_of_failing
        where true
        -- include: log_wanted_delivery
-- include: log_among_messages
-- include: log_of_messages

-- walk: log_failing_among
-- the messages of the failing deliveries
select
    -- include: log_row
-- include: log_among_failing
order by m.id desc, d.endpoint_id desc
limit :limit;

-- name: log_failing_among_count$
select count(*)
-- include: log_among_failing
;

-- name: log_message_count$
select count(*)
-- include: log_messages
-- include: log_of_messages
;

-- name: log_endpoint_count$
select count(*) from
-- include: deliveries_of_endpoint
-- include: log_message_of
;

-- name: log_endpoint_failing_count$
select count(*) from
-- include: log_of_endpoint_failing
-- include: log_message_of
  -- include: log_failing
;

-- name: log_failing_count$
select count(*) from
-- include: log_of_failing
-- include: log_message_of
  and d.endpoint_id = any(:endpoint_ids::uuid[]);
