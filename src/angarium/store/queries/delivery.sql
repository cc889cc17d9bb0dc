-- name: delivery_target_by_id^
-- an endpoint for requeueing, by id
select id, app_id, shard, fifo, event_types, channels, disabled_at from section.endpoint
where app_id = :app_id and id = :id and deleted_at is null;

-- name: delivery_target_by_uid^
-- the same by uid
select id, app_id, shard, fifo, event_types, channels, disabled_at from section.endpoint
where living_app_id = :app_id and uid = :uid;

-- name: delivery_target_hold^
-- the same, locked against being disabled or deleted until the transaction ends
select id, app_id, shard, fifo, event_types, channels, disabled_at from section.endpoint
where app_id = :app_id and id = :id and deleted_at is null
  and exists (select from section.application a where a.id = endpoint.app_id and a.deleted_at is null)
for share;

-- walk: delivery_attempted
-- the deliveries of one endpoint in a stretch, with their messages
select d.endpoint_id, d.message_id, d.state, d.failures, d.due_at, d.manual_at,
       m.app_id, m.event_id, m.event_type, m.channels, m.tags, m.expires_at
from
-- include: deliveries_of_endpoint
join lateral (
    select app_id, id, event_id, event_type, channels, tags, expires_at from section.message
    where app_id = :app_id and id = d.message_id and id >= :low_message and id <= :high_message
    offset 0
) m on true
where d.message_id > :low_message and d.message_id < :high_message
  and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
  and (:channel::text is null or :channel = any(m.channels))
  and (:tag::text is null or :tag = any(m.tags))
  and (:event_types::text[] is null or m.event_type = any(:event_types))
order by d.message_id desc
limit :limit;

-- walk: delivery_destinations
-- the endpoints that have a delivery of a message, including deleted ones: along the application's endpoints, with a
-- lookup for each that was not deleted before
select e.id, e.uid, e.url, e.description, e.version, e.rate_limit, e.event_types, e.channels, e.disabled_at,
       e.deleted_at, e.created_at, e.updated_at, d.state, d.failures, d.due_at, d.manual_at
from section.endpoint e
join lateral (
    select state, failures, due_at, manual_at from (
        -- include: delivery_of
    ) found
    offset 0
) d on true
where e.app_id = :app_id and e.id > :low and e.id < :high and (e.deleted_at is null or e.deleted_at >= :since)
order by e.id desc
limit :limit;

-- name: delivery_recover_scan
-- the next slice of an endpoint's undelivered deliveries, in order of message id
select message_id from section.attempt
where endpoint_id = :endpoint_id and app_id = :app_id and message_id > :after and message_id <= :until
  and final and (state <> 0 or error_code is not null) and state in (2, 4)
order by message_id
limit :limit;

-- name: delivery_count_undelivered$
-- how many deliveries a recover of the window would requeue, counted up to a limit
select count(*) from (
    select
    -- include: undelivered
    where d.endpoint_id = :endpoint_id and d.app_id = :app_id
      and d.message_id >= :lowest and d.message_id > :after and d.message_id <= :until
    limit :limit
) counted;

-- name: delivery_replay_scan
-- the next slice of an application's messages, with the columns that decide whether an endpoint matches. Tests are
-- left out, because they are for one endpoint only
select id, event_type, channels,
    endpoint_id is null and
    -- include: fanned_out
    and
    -- include: kept
    as kept
from section.message m
where app_id = :app_id and id > :after and id <= :until
order by id
limit :limit;

-- name: delivery_hint$
-- send a hint to the owners of lanes that there is work, when the transaction commits
select pg_notify('angarium', :hint);

-- name: delivery_retries
-- when the next scheduled attempt of messages at one endpoint is due, and how many were made
select message_id, 0 as attempts, due_at as retry_at
from section.pending
where shard = :shard and endpoint_id = :endpoint_id and app_id = :app_id and message_id = any(:message_ids::uuid[])
union all
select message_id, attempts, case when manual_at is null then due_at else resume_at end
from section.retry
where endpoint_id = :endpoint_id and app_id = :app_id and message_id = any(:message_ids::uuid[]) and state = 1;
