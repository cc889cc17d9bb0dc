-- name: delivery_target_by_id^
-- what replaying needs to know of a living endpoint, by id
select id, app_id, shard, fifo, event_types, channels, disabled_at from endpoint
where app_id = :app_id and id = :id and deleted_at is null;

-- name: delivery_target_by_uid^
-- the same by the operator's own id
select id, app_id, shard, fifo, event_types, channels, disabled_at from endpoint
where app_id = :app_id and uid = :uid and deleted_at is null;

-- name: delivery_target_hold^
-- the same, held against being disabled or deleted until the transaction ends
select id, app_id, shard, fifo, event_types, channels, disabled_at from endpoint
where app_id = :app_id and id = :id and deleted_at is null
  and exists (select from application a where a.id = endpoint.app_id and a.deleted_at is null)
for share;

-- walk: delivery_attempted
-- the messages of one endpoint within bounds: along the primary key
select d.app_id, d.endpoint_id, d.message_id, d.state, d.failures, d.due_at, d.manual_at,
       m.event_id, m.event_type, m.channels, m.tags, m.expires_at, m.payload, m.kept
from delivery d
join lateral (
    select event_id, event_type, channels, tags, expires_at, payload is not null as kept,
           case when :with_payload then payload end as payload
    from message where app_id = d.app_id and id = d.message_id offset 0
) m on true
where d.app_id = :app_id and d.endpoint_id = :endpoint_id and d.message_id > :low and d.message_id < :high
  and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
  and (:channel::text is null or :channel = any(m.channels))
  and (:tag::text is null or :tag = any(m.tags))
  and (:event_types::text[] is null or m.event_type = any(:event_types))
order by d.message_id desc
limit :limit;

-- walk: delivery_destinations
-- the endpoints that a message is or was owed to, deleted ones too: along the application's endpoints, one
-- primary key lookup for each
select e.id, e.uid, e.url, e.description, e.version, e.rate_limit, e.event_types, e.channels, e.disabled_at,
       e.deleted_at, e.created_at, e.updated_at, d.state, d.failures, d.due_at, d.manual_at
from endpoint e
join lateral (
    select state, failures, due_at, manual_at from delivery
    where app_id = e.app_id and endpoint_id = e.id and message_id = :message_id offset 0
) d on true
where e.app_id = :app_id and e.id > :low and e.id < :high
order by e.id desc
limit :limit;

-- name: delivery_resend!
-- owe one manual attempt now; a waiting automatic retry goes on afterwards at the time it had. An endpoint
-- that never was owed the message gets a delivery that is over but for this attempt (`state` of the values).
-- Without a due time it waits for the endpoint, which is disabled, so that an automatic retry is canceled
insert into delivery as d (app_id, endpoint_id, message_id, shard, fifo, state, due_at, manual_at)
values (:app_id, :endpoint_id, :message_id, :shard, :fifo, :state, :due_at::timestamptz, :now)
on conflict (app_id, endpoint_id, message_id) do update
set state = case when d.state = 1 and d.due_at is not null and excluded.due_at is null then 4 else d.state end,
    resume_at = case
        when excluded.due_at is null then null
        when d.state = 1 and d.manual_at is null then d.due_at
        else d.resume_at end,
    due_at = excluded.due_at, manual_at = :now;

-- name: delivery_recover_scan
-- the next slice of an endpoint's lost deliveries, in order of message id
select message_id from delivery
where app_id = :app_id and endpoint_id = :endpoint_id and message_id > :after and message_id <= :until
  and state in (2, 4)
order by message_id
limit :limit;

-- name: delivery_recover!
-- owe one manual attempt to each exhausted or canceled delivery of a slice that can still be sent. Rows
-- that another transaction holds are being recovered or resent already
with lost as (
    select d.message_id from delivery d
    join lateral (
        select from message where app_id = d.app_id and id = d.message_id and payload is not null offset 0
    ) m on true
    where d.app_id = :app_id and d.endpoint_id = :endpoint_id
      and d.message_id > :after and d.message_id <= :until
      and d.state in (2, 4) and d.manual_at is null
    order by d.message_id
    for update of d skip locked
)
update delivery d set manual_at = :now, due_at = :due_at::timestamptz, resume_at = null
from lost
where d.app_id = :app_id and d.endpoint_id = :endpoint_id and d.message_id = lost.message_id;

-- name: delivery_count_lost$
-- how many deliveries a recover of the window would owe again, up to a limit
select count(*) from (
    select from delivery d
    join lateral (
        select from message where app_id = d.app_id and id = d.message_id and payload is not null offset 0
    ) m on true
    where d.app_id = :app_id and d.endpoint_id = :endpoint_id
      and d.message_id > :after and d.message_id <= :until
      and d.state in (2, 4) and d.manual_at is null
    limit :limit
) lost;

-- name: delivery_replay_scan
-- the next slice of an application's messages, and what decides whether an endpoint wants them; examples,
-- which were for one endpoint alone, are not kept for others
select id, event_type, channels, payload is not null and endpoint_id is null as kept from message
where app_id = :app_id and id > :after and id <= :until
order by id
limit :limit;

-- name: delivery_replay!
-- owe messages to an endpoint that never was owed them, in the order given
insert into delivery (app_id, endpoint_id, message_id, shard, fifo, state, due_at)
select :app_id, :endpoint_id, message_id, :shard, :fifo, 1, :due_at::timestamptz
from unnest(:message_ids::uuid[]) with ordinality as wanted (message_id, place)
order by place
on conflict (app_id, endpoint_id, message_id) do nothing;

-- name: delivery_cancel_pending!
-- cancel what one endpoint is owed; a delivery that was over keeps its state. Its manual attempt waits for the
-- endpoint to be enabled, or is canceled too. Locks in order of message id, so that two cancellations cannot wait for each other
with owed as (
    select message_id from delivery
    where shard = (select e.shard from endpoint e where e.app_id = :app_id and e.id = :endpoint_id)
      and app_id = :app_id and endpoint_id = :endpoint_id and due_at is not null
      and (:before::uuid is null or message_id < :before)
    order by message_id
    limit :limit
    for update
)
update delivery d
set state = case when d.state = 1 then 4 else d.state end, due_at = null, resume_at = null,
    manual_at = case when :wait then d.manual_at end
from owed
where d.app_id = :app_id and d.endpoint_id = :endpoint_id and d.message_id = owed.message_id;

-- name: delivery_forget_waiting!
-- cancel what waits for an endpoint that is never enabled again
with waiting as (
    select message_id from delivery
    where app_id = :app_id and endpoint_id = :endpoint_id and due_at is null and (state = 1 or manual_at is not null)
    order by message_id
    limit :limit
    for update
)
update delivery d set state = case when d.state = 1 then 4 else d.state end, manual_at = null
from waiting
where d.app_id = :app_id and d.endpoint_id = :endpoint_id and d.message_id = waiting.message_id;

-- name: delivery_release!
-- what waits for an endpoint is due now, because it was enabled
with waiting as (
    select message_id from delivery
    where app_id = :app_id and endpoint_id = :endpoint_id and due_at is null and (state = 1 or manual_at is not null)
    order by message_id
    limit :limit
    for update
)
update delivery d
set due_at = :now, fifo = :fifo, resume_at = case when d.state = 1 and d.manual_at is not null then :now::timestamptz end
from waiting
where d.app_id = :app_id and d.endpoint_id = :endpoint_id and d.message_id = waiting.message_id;

-- name: delivery_cancel_message!
-- cancel what is still owed of one message, by way of the application's endpoints
with owed as (
    select e.id from endpoint e
    join lateral (
        select from delivery
        where app_id = e.app_id and endpoint_id = e.id and message_id = :message_id
          and (due_at is not null or state = 1 or manual_at is not null)
        offset 0
    ) d on true
    where e.app_id = :app_id
)
update delivery d
set state = case when d.state = 1 then 4 else d.state end, due_at = null, resume_at = null, manual_at = null
from owed
where d.app_id = :app_id and d.endpoint_id = owed.id and d.message_id = :message_id;

-- name: delivery_hint$
-- tell the owners of lanes that there is work, when the transaction commits
select pg_notify('angarium', :hint);

-- name: delivery_retries
-- when the next scheduled attempt of some messages at one endpoint is owed, and how many were made
select message_id, attempts, case when manual_at is null then due_at else resume_at end as retry_at
from delivery
where app_id = :app_id and endpoint_id = :endpoint_id and message_id = any(:message_ids::uuid[]) and state = 1;
