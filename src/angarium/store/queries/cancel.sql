-- Cancellations, and deliveries that wait for an endpoint to be enabled. A cancellation is a row of the history. A
-- delivery that had ended before its manual attempt was requested returns to the state in which it had ended.

-- part: cancel_record
recorded as (
    insert into section.attempt (
        message_id, id, endpoint_id, app_id, number, failures, state, status_code, manual, final, error_code
    )
    select message_id, section.new_id(:now), endpoint_id, app_id, attempts, failures, case when state = 1 then 4 else state end,
           status_code, false, true, error_code
    from gone
    on conflict do nothing
    returning app_id, state
),
counted as (
    insert into section.usage_entry (app_id, month, canceled)
    select app_id, date_trunc('month', :now::timestamptz, 'UTC'), count(*) from recorded where state = 4 group by app_id
)

-- part: cancel_gone_pending
gone as (
    delete from section.pending p
    using owed o
    where p.shard = o.shard and p.endpoint_id = o.endpoint_id and p.message_id = o.message_id
    returning p.endpoint_id, p.message_id, p.app_id, 1 as state, 0 as failures, 0 as attempts,
        null::smallint as status_code, null::text as error_code
)

-- name: cancel_pending$
-- Cancel first attempts at one endpoint, of messages before a message. Locks in order of message, to prevent deadlocks.
with owed as materialized (
    select shard, endpoint_id, message_id from section.pending
    where shard = :shard and endpoint_id = :endpoint_id and app_id = :app_id
      and (:before::uuid is null or message_id < :before)
    order by message_id
    limit :limit
    for update
),
-- include: cancel_gone_pending
,
-- include: cancel_record

select count(*) from gone;

-- part: cancel_gone
gone as (
    delete from section.retry r
    using owed o
    where r.endpoint_id = o.endpoint_id and r.message_id = o.message_id and not o.stays
    returning r.endpoint_id, r.message_id, r.app_id, r.state, r.failures, r.attempts, r.status_code, r.error_code
)

-- name: cancel_retry$
-- Cancel retries at one endpoint. Manual attempts wait until it is enabled, or are canceled too.
with owed as materialized (
    select endpoint_id, message_id, :wait and manual_at is not null as stays from section.retry
    where endpoint_id = :endpoint_id and app_id = :app_id and due_at is not null
      and (:before::uuid is null or message_id < :before)
    order by message_id
    limit :limit
    for update
),
-- include: cancel_gone
,
waiting as (
    update section.retry r
    set state = case when r.state = 1 then 4 else r.state end, due_at = null, resume_at = null
    from owed o
    where r.endpoint_id = o.endpoint_id and r.message_id = o.message_id and o.stays
),
-- include: cancel_record

select count(*) from owed;

-- name: cancel_waiting$
-- Cancel deliveries that wait for an endpoint that was deleted.
with owed as materialized (
    select endpoint_id, message_id, false as stays from section.retry
    where endpoint_id = :endpoint_id and app_id = :app_id and due_at is null
    order by message_id
    limit :limit
    for update
),
-- include: cancel_gone
,
-- include: cancel_record

select count(*) from owed;

-- name: cancel_message_pending$
-- Cancel the first attempts of one message at the endpoints of its application. Deleting an endpoint cancels its own.
with owed as materialized (
    select p.shard, p.endpoint_id, p.message_id from section.endpoint e
    join section.pending p on p.shard = e.shard and p.endpoint_id = e.id and p.message_id = :message_id
    where e.living_app_id = :app_id
    order by p.endpoint_id
    for update of p
),
-- include: cancel_gone_pending
,
-- include: cancel_record

select count(*) from gone;

-- name: cancel_message_retry$
-- Cancel all other queued deliveries of one message.
with owed as materialized (
    select r.endpoint_id, r.message_id, false as stays from section.endpoint e
    join section.retry r on r.endpoint_id = e.id and r.message_id = :message_id
    where e.living_app_id = :app_id
    order by r.endpoint_id
    for update of r
),
-- include: cancel_gone
,
-- include: cancel_record

select count(*) from owed;

-- name: cancel_message_ids
-- The messages whose deliveries the next cancellation at an endpoint cancels.
(select message_id from section.pending where shard = :shard and endpoint_id = :endpoint_id order by message_id limit :limit)
union all
(select message_id from section.retry where endpoint_id = :endpoint_id order by message_id limit :limit);

-- name: release!
-- Make deliveries due that waited for an endpoint, which is now enabled.
with waiting as (
    select endpoint_id, message_id from section.retry
    where endpoint_id = :endpoint_id and app_id = :app_id and due_at is null
    order by message_id
    limit :limit
    for update
)
update section.retry r
set due_at = :now, resume_at = case when r.state = 1 and r.manual_at is not null then :now::timestamptz end,
    seq = case when :fifo::boolean then coalesce(r.seq, nextval('section.acceptance')) end
from waiting w
where r.endpoint_id = w.endpoint_id and r.message_id = w.message_id;

-- part: cancel_with_message
-- Record cancellations of messages that still exist. Without the message, the partition for the record is gone too.
gone as (
    select * from ended
    where exists (
        select from section.message where app_id = ended.app_id and id = ended.message_id and id < :before offset 0
    )
)

-- part: cancel_reached
-- how many were canceled, and the last lane that was read; no lane if all were read
select counted.ended, last.shard, last.endpoint_id
from (select count(*) as ended from ended) as counted
left join lane as last on last.turn = :lanes

-- name: end_pending^
-- Cancel first attempts of messages before a message, in the next `:lanes` lanes after a lane. Walks along the key from
-- lane to lane. Skips locked rows, because they are being attempted.
with recursive lane as (
    (
        select shard, endpoint_id, message_id, 1 as turn from section.pending
        where (shard, endpoint_id) > (:shard::smallint, :endpoint_id::uuid)
        order by shard, endpoint_id, message_id
        limit 1
    )
    union all
    select next.*, lane.turn + 1
    from lane
    cross join lateral (
        select shard, endpoint_id, message_id from section.pending
        where (shard, endpoint_id) > (lane.shard, lane.endpoint_id)
        order by shard, endpoint_id, message_id
        limit 1
    ) as next
    where lane.turn < :lanes
),
old as materialized (
    select p.place
    from lane
    cross join lateral (
        select ctid as place from section.pending
        where shard = lane.shard and endpoint_id = lane.endpoint_id and message_id < :before
        order by message_id
        limit :limit
        for update skip locked
    ) as p
    where lane.message_id < :before
    limit :limit
),
ended as (
    delete from section.pending where ctid = any(array(select place from old))
    returning endpoint_id, message_id, app_id, 1 as state, 0 as failures, 0 as attempts,
        null::smallint as status_code, null::text as error_code
),
-- include: cancel_with_message
,
-- include: cancel_record

-- include: cancel_reached
;

-- name: end_retry^
-- The same for deliveries in `retry`.
with recursive lane as (
    (
        select shard, endpoint_id, message_id, 1 as turn from section.retry
        where endpoint_id > :endpoint_id::uuid
        order by endpoint_id, message_id
        limit 1
    )
    union all
    select next.*, lane.turn + 1
    from lane
    cross join lateral (
        select shard, endpoint_id, message_id from section.retry
        where endpoint_id > lane.endpoint_id
        order by endpoint_id, message_id
        limit 1
    ) as next
    where lane.turn < :lanes
),
old as materialized (
    select r.place
    from lane
    cross join lateral (
        select ctid as place from section.retry
        where endpoint_id = lane.endpoint_id and message_id < :before
        order by message_id
        limit :limit
        for update skip locked
    ) as r
    where lane.message_id < :before
    limit :limit
),
ended as (
    delete from section.retry where ctid = any(array(select place from old))
    returning endpoint_id, message_id, app_id, state, failures, attempts, status_code, error_code
),
-- include: cancel_with_message
,
-- include: cancel_record

-- include: cancel_reached
;
