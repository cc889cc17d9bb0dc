-- Pages of everything of one application, oldest first (store/export.py). Each continues after a place in its order.

-- name: export_application
select id, uid, name, rate_limit, metadata, quota, created_at, updated_at from section.application
where id = :app_id and id > :place;

-- name: export_endpoint
-- Endpoints, deleted or not; the caller replaces secrets by fingerprints.
select * from section.endpoint where app_id = :app_id and id > :place order by id limit :limit;

-- name: export_former_url
select endpoint_id, revision, url, replaced_at from section.former_url
where endpoint_id = any(:endpoint_ids::uuid[])
order by endpoint_id, revision;

-- name: export_message_ids
-- The next messages, or only one.
select id from section.message
where app_id = :app_id and id > :place and (:message_id::uuid is null or id = :message_id)
order by id limit :limit;

-- name: export_message
-- Messages with their payloads, unless these have expired.
select id, event_id, event_type, channels, tags, endpoint_id, expires_at, content_type, body as payload
from section.content(array_fill(:app_id::uuid, array[cardinality(:ids::uuid[])]), :ids::uuid[], :now::timestamptz)
order by id;

-- name: export_attempt
-- Attempts and cancellations of messages from `:first` to `:last`, after one of them.
select message_id, id, endpoint_id, number, failures, revision, duration_ms, state, status, status_code, manual, final,
       next_at, error_code, error, response, exchange
from section.attempt
where app_id = :app_id and message_id = any(:ids::uuid[]) and message_id >= :first and message_id <= :last
  and (message_id, id) > (:message_id::uuid, :id::uuid)
order by message_id, id
limit :limit;

-- name: export_queue
-- Deliveries that have not ended, by endpoint. Those that have ended are final attempts.
select d.* from (
    select app_id, id, shard from section.endpoint where app_id = :app_id and id >= :endpoint_id order by id offset 0
) as e
cross join lateral (
    select endpoint_id, message_id, 1 as state, 0 as failures, 0 as attempts, due_at, null::timestamptz as manual_at
    from section.pending
    where shard = e.shard and endpoint_id = e.id
      and (e.id > :endpoint_id or message_id > :place) and (:message_id::uuid is null or message_id = :message_id)
    union all
    select endpoint_id, message_id, state, failures, attempts, due_at, manual_at
    from section.retry
    where endpoint_id = e.id
      and (e.id > :endpoint_id or message_id > :place) and (:message_id::uuid is null or message_id = :message_id)
    order by message_id
    limit :limit
) as d
order by d.endpoint_id, d.message_id
limit :limit;

-- name: export_event_id
select event_id, message_id from section.event_id
where app_id = :app_id and event_id > :place and (:message_id::uuid is null or message_id = :message_id)
order by event_id limit :limit;

-- name: export_background_task
select id, kind, status, arguments, data, created_at, updated_at from section.background_task
where app_id = :app_id and id > :place order by id limit :limit;

-- name: export_statistics
select endpoint_id, hour, delivered, failed, latency, failed_at, error_code from section.attempt_hour
where app_id = :app_id and (endpoint_id, hour) > (:endpoint_id::uuid, :hour::timestamptz)
order by endpoint_id, hour limit :limit;

-- name: export_usage
-- Months, also what is not added up yet.
select month, sum(messages)::bigint as messages, sum(attempts)::bigint as attempts, sum(failed)::bigint as failed,
       sum(delivered)::bigint as delivered, sum(exhausted)::bigint as exhausted, sum(canceled)::bigint as canceled
from (
    select month, messages, attempts, failed, delivered, exhausted, canceled from section.usage where app_id = :app_id
    union all
    select month, messages, attempts, failed, delivered, exhausted, canceled from section.usage_entry where app_id = :app_id
) as each
where month > :month::timestamptz
group by month
order by month limit :limit;

-- name: export_inbox_request
select r.inbox_id, r.id, r.method, r.headers, r.body, r.status_code, r.verified, r.finding
from section.play_inbox i
join section.play_request r on r.inbox_id = i.id
where i.app_id = :app_id and (r.inbox_id, r.id) > (:inbox_id::uuid, :id::uuid)
order by r.inbox_id, r.id limit :limit;

-- name: export_api_key
-- Keys, without what authenticates.
select id, scope, name, beginning, created_at, last_used_at, revoked_at from control.api_key
where org_id = :org_id and app_id = :app_id and id > :place order by id limit :limit;
