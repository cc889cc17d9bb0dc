-- The log of an application: its deliveries by (message, endpoint). Four walks along an index, and for each
-- the first key that it does not reach after so many rows: a page looks no further than that, so its cost
-- has a bound whatever is filtered for. Keys are exclusive at both ends.
-- `offset 0` keeps a lookup a lookup, and `is true` keeps a condition out of the choice of an index.

-- name: log_endpoints
-- the endpoints of an application, deleted ones too, as a log names them
select id, url, name, description, disabled_at is not null as disabled, deleted_at is not null as deleted
from endpoint
where app_id = :app_id
order by id;

-- part: log_trouble
-- the condition of the indexes delivery_trouble and delivery_endpoint_trouble
and (d.state in (2, 4) or (d.state = 1 and d.failures > 0) or d.error_code is not null)

-- part: log_between
and d.message_id >= :low_message and d.message_id <= :high_message
and (d.message_id, d.endpoint_id) > (:low_message, :low_endpoint)
and (d.message_id, d.endpoint_id) < (:high_message, :high_endpoint)

-- walk: log_message_end$
-- the first message that a walk along the primary key of message does not reach
select id from message
where app_id = :app_id and id >= :low_message and id <= :high_message
order by id desc
offset :rows limit 1;

-- walk: log_endpoint_end$
-- the first message that a walk along the primary key of delivery does not reach
select message_id from delivery
where app_id = :app_id and endpoint_id = :endpoint_id
  and message_id >= :low_message and message_id <= :high_message
order by message_id desc
offset :rows limit 1;

-- walk: log_endpoint_trouble_end$
-- the first message that a walk along those of one endpoint in trouble does not reach
select d.message_id from delivery d
where d.app_id = :app_id and d.endpoint_id = :endpoint_id
  and d.message_id >= :low_message and d.message_id <= :high_message
  -- include: log_trouble
order by d.message_id desc
offset :rows limit 1;

-- walk: log_trouble_end^
-- the first delivery that a walk along those in trouble does not reach
select d.message_id, d.endpoint_id from delivery d
where d.app_id = :app_id
  -- include: log_between
  -- include: log_trouble
order by d.message_id desc, d.endpoint_id desc
offset :rows limit 1;

-- part: log_row
d.message_id, d.endpoint_id, d.state, d.failures, d.attempts, d.status_code, d.error_code, d.due_at, d.resume_at,
d.manual_at, m.event_id, m.event_type, m.tags, m.channels, m.kept

-- part: log_wanted_message
and (:event_type::text is null or event_type = :event_type)
and (:event_prefix::text is null or event_type ^@ :event_prefix)
and (:tag::text is null or :tag = any(tags))
and (:channel::text is null or :channel = any(channels))
and (not :sendable or payload is not null)

-- part: log_wanted_delivery
and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
and (:http_low::smallint is null or d.status_code between :http_low and :http_low + 99)
and (:error_kind::text is null or d.error_code = :error_kind or d.error_code ^@ (:error_kind || '_'))
and (not :sendable or d.manual_at is null)

-- part: log_by_message
-- along the messages: for each a lookup of its delivery to each endpoint
from (
    select app_id, id, event_id, event_type, tags, channels, payload is not null as kept from message
    where app_id = :app_id and id >= :low_message and id <= :high_message
      -- include: log_wanted_message
    order by id desc
    offset 0
) m
cross join lateral (
    select * from delivery d
    where d.app_id = m.app_id and d.endpoint_id = any(:endpoint_ids::uuid[]) and d.message_id = m.id
      and (m.id > :low_message or d.endpoint_id > :low_endpoint)
      and (m.id < :high_message or d.endpoint_id < :high_endpoint)
      -- include: log_wanted_delivery
    offset 0
) d

-- part: log_by_delivery
-- along deliveries, which a condition that follows may narrow: for each a lookup of its message
from delivery d
join lateral (
    select event_id, event_type, tags, channels, payload is not null as kept from message
    where app_id = d.app_id and id = d.message_id
      -- include: log_wanted_message
    offset 0
) m on true
where d.app_id = :app_id
  -- include: log_between
  -- include: log_wanted_delivery

-- walk: log_message
select
    -- include: log_row
-- include: log_by_message
order by m.id desc, d.endpoint_id desc
limit :limit;

-- walk: log_endpoint
-- along the deliveries of one endpoint
select
    -- include: log_row
-- include: log_by_delivery
  and d.endpoint_id = :endpoint_id
order by d.message_id desc
limit :limit;

-- walk: log_endpoint_trouble
-- along the deliveries of one endpoint in trouble
select
    -- include: log_row
-- include: log_by_delivery
  -- include: log_trouble
  and d.endpoint_id = :endpoint_id
order by d.message_id desc
limit :limit;

-- walk: log_trouble
-- along the deliveries in trouble
select
    -- include: log_row
-- include: log_by_delivery
  -- include: log_trouble
  and (d.endpoint_id = any(:endpoint_ids::uuid[])) is true
order by d.message_id desc, d.endpoint_id desc
limit :limit;

-- name: log_message_count$
select count(*)
-- include: log_by_message

-- name: log_endpoint_count$
select count(*)
-- include: log_by_delivery
  and d.endpoint_id = :endpoint_id;

-- name: log_endpoint_trouble_count$
select count(*)
-- include: log_by_delivery
  -- include: log_trouble
  and d.endpoint_id = :endpoint_id;

-- name: log_trouble_count$
select count(*)
-- include: log_by_delivery
  -- include: log_trouble
  and (d.endpoint_id = any(:endpoint_ids::uuid[])) is true;
