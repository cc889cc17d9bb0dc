-- The log of an application: its deliveries by (message, endpoint). Four walks along an index, each both
-- ways, and for each walk the first key that it does not reach after so many rows: a page looks no further
-- than that, so its cost has a bound whatever is filtered for. Keys are exclusive at both ends.
-- `offset 0` keeps a lookup a lookup, and `is true` keeps a condition out of the choice of an index.

-- name: log_endpoints
-- the endpoints of an application, deleted ones too, as a log names them
select id, url, name, description, disabled_at is not null as disabled, deleted_at is not null as deleted
from endpoint
where app_id = :app_id
order by id;

-- name: log_message_end_down$
-- the first message that a walk down the primary key of message does not reach
select id from message
where app_id = :app_id and id >= :low_message and id <= :high_message
order by id desc
offset :rows limit 1;

-- name: log_endpoint_end_down$
-- the first message that a walk down the primary key of delivery does not reach
select message_id from delivery
where app_id = :app_id and endpoint_id = :endpoint_id
  and message_id >= :low_message and message_id <= :high_message
order by message_id desc
offset :rows limit 1;

-- name: log_endpoint_trouble_end_down$
-- the first message that a walk down those of one endpoint in trouble does not reach
select message_id from delivery
where app_id = :app_id and endpoint_id = :endpoint_id
  and message_id >= :low_message and message_id <= :high_message
  and (state in (2, 4) or (state = 1 and failures > 0) or error_code is not null)
order by message_id desc
offset :rows limit 1;

-- name: log_trouble_end_down^
-- the first delivery that a walk down those in trouble does not reach
select d.message_id, d.endpoint_id from delivery d
where d.app_id = :app_id
  and d.message_id >= :low_message and d.message_id <= :high_message
  and (d.message_id, d.endpoint_id) > (:low_message, :low_endpoint)
  and (d.message_id, d.endpoint_id) < (:high_message, :high_endpoint)
  and (d.state in (2, 4) or (d.state = 1 and d.failures > 0) or d.error_code is not null)
order by d.message_id desc, d.endpoint_id desc
offset :rows limit 1;

-- name: log_message_end_up$
-- the first message that a walk up the primary key of message does not reach
select id from message
where app_id = :app_id and id >= :low_message and id <= :high_message
order by id
offset :rows limit 1;

-- name: log_endpoint_end_up$
-- the first message that a walk up the primary key of delivery does not reach
select message_id from delivery
where app_id = :app_id and endpoint_id = :endpoint_id
  and message_id >= :low_message and message_id <= :high_message
order by message_id
offset :rows limit 1;

-- name: log_endpoint_trouble_end_up$
-- the first message that a walk up those of one endpoint in trouble does not reach
select message_id from delivery
where app_id = :app_id and endpoint_id = :endpoint_id
  and message_id >= :low_message and message_id <= :high_message
  and (state in (2, 4) or (state = 1 and failures > 0) or error_code is not null)
order by message_id
offset :rows limit 1;

-- name: log_trouble_end_up^
-- the first delivery that a walk up those in trouble does not reach
select d.message_id, d.endpoint_id from delivery d
where d.app_id = :app_id
  and d.message_id >= :low_message and d.message_id <= :high_message
  and (d.message_id, d.endpoint_id) > (:low_message, :low_endpoint)
  and (d.message_id, d.endpoint_id) < (:high_message, :high_endpoint)
  and (d.state in (2, 4) or (d.state = 1 and d.failures > 0) or d.error_code is not null)
order by d.message_id, d.endpoint_id
offset :rows limit 1;

-- name: log_message_down
-- newest first along the messages: for each a lookup of its delivery to each endpoint
select d.message_id, d.endpoint_id, d.state, d.failures, d.attempts, d.status_code, d.error_code, d.due_at, d.resume_at,
       d.manual_at, m.event_id, m.event_type, m.tags, m.channels, m.kept
from (
    select app_id, id, event_id, event_type, tags, channels, payload is not null as kept from message
    where app_id = :app_id and id >= :low_message and id <= :high_message
      and (:event_type::text is null or event_type = :event_type)
      and (:event_prefix::text is null or event_type ^@ :event_prefix)
      and (:tag::text is null or :tag = any(tags))
      and (:channel::text is null or :channel = any(channels))
      and (not :sendable or payload is not null)
    order by id desc
    offset 0
) m
cross join lateral (
    select * from delivery d
    where d.app_id = m.app_id and d.endpoint_id = any(:endpoint_ids::uuid[]) and d.message_id = m.id
      and (m.id > :low_message or d.endpoint_id > :low_endpoint)
      and (m.id < :high_message or d.endpoint_id < :high_endpoint)
      and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
      and (:http_low::smallint is null or d.status_code between :http_low and :http_low + 99)
      and (:error_kind::text is null or d.error_code = :error_kind or d.error_code ^@ (:error_kind || '_'))
      and (not :sendable or d.manual_at is null)
    offset 0
) d
order by m.id desc, d.endpoint_id desc
limit :limit;

-- name: log_endpoint_down
-- newest first along the deliveries of one endpoint
select d.message_id, d.endpoint_id, d.state, d.failures, d.attempts, d.status_code, d.error_code, d.due_at, d.resume_at,
       d.manual_at, m.event_id, m.event_type, m.tags, m.channels, m.kept
from delivery d
join lateral (
    select event_id, event_type, tags, channels, payload is not null as kept from message
    where app_id = d.app_id and id = d.message_id
      and (:event_type::text is null or event_type = :event_type)
      and (:event_prefix::text is null or event_type ^@ :event_prefix)
      and (:tag::text is null or :tag = any(tags))
      and (:channel::text is null or :channel = any(channels))
      and (not :sendable or payload is not null)
    offset 0
) m on true
where d.app_id = :app_id and d.endpoint_id = :endpoint_id
  and d.message_id >= :low_message and d.message_id <= :high_message
  and (d.message_id, d.endpoint_id) > (:low_message, :low_endpoint)
  and (d.message_id, d.endpoint_id) < (:high_message, :high_endpoint)
  and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
  and (:http_low::smallint is null or d.status_code between :http_low and :http_low + 99)
  and (:error_kind::text is null or d.error_code = :error_kind or d.error_code ^@ (:error_kind || '_'))
  and (not :sendable or d.manual_at is null)
order by d.message_id desc
limit :limit;

-- name: log_endpoint_trouble_down
-- newest first along the deliveries of one endpoint in trouble
select d.message_id, d.endpoint_id, d.state, d.failures, d.attempts, d.status_code, d.error_code, d.due_at, d.resume_at,
       d.manual_at, m.event_id, m.event_type, m.tags, m.channels, m.kept
from delivery d
join lateral (
    select event_id, event_type, tags, channels, payload is not null as kept from message
    where app_id = d.app_id and id = d.message_id
      and (:event_type::text is null or event_type = :event_type)
      and (:event_prefix::text is null or event_type ^@ :event_prefix)
      and (:tag::text is null or :tag = any(tags))
      and (:channel::text is null or :channel = any(channels))
      and (not :sendable or payload is not null)
    offset 0
) m on true
where d.app_id = :app_id and d.endpoint_id = :endpoint_id
  and d.message_id >= :low_message and d.message_id <= :high_message
  and (d.message_id, d.endpoint_id) > (:low_message, :low_endpoint)
  and (d.message_id, d.endpoint_id) < (:high_message, :high_endpoint)
  and (d.state in (2, 4) or (d.state = 1 and d.failures > 0) or d.error_code is not null)
  and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
  and (:http_low::smallint is null or d.status_code between :http_low and :http_low + 99)
  and (:error_kind::text is null or d.error_code = :error_kind or d.error_code ^@ (:error_kind || '_'))
  and (not :sendable or d.manual_at is null)
order by d.message_id desc
limit :limit;

-- name: log_trouble_down
-- newest first along the deliveries in trouble
select d.message_id, d.endpoint_id, d.state, d.failures, d.attempts, d.status_code, d.error_code, d.due_at, d.resume_at,
       d.manual_at, m.event_id, m.event_type, m.tags, m.channels, m.kept
from delivery d
join lateral (
    select event_id, event_type, tags, channels, payload is not null as kept from message
    where app_id = d.app_id and id = d.message_id
      and (:event_type::text is null or event_type = :event_type)
      and (:event_prefix::text is null or event_type ^@ :event_prefix)
      and (:tag::text is null or :tag = any(tags))
      and (:channel::text is null or :channel = any(channels))
      and (not :sendable or payload is not null)
    offset 0
) m on true
where d.app_id = :app_id and (d.endpoint_id = any(:endpoint_ids::uuid[])) is true
  and d.message_id >= :low_message and d.message_id <= :high_message
  and (d.message_id, d.endpoint_id) > (:low_message, :low_endpoint)
  and (d.message_id, d.endpoint_id) < (:high_message, :high_endpoint)
  and (d.state in (2, 4) or (d.state = 1 and d.failures > 0) or d.error_code is not null)
  and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
  and (:http_low::smallint is null or d.status_code between :http_low and :http_low + 99)
  and (:error_kind::text is null or d.error_code = :error_kind or d.error_code ^@ (:error_kind || '_'))
  and (not :sendable or d.manual_at is null)
order by d.message_id desc, d.endpoint_id desc
limit :limit;

-- name: log_message_up
-- oldest first along the messages: for each a lookup of its delivery to each endpoint
select d.message_id, d.endpoint_id, d.state, d.failures, d.attempts, d.status_code, d.error_code, d.due_at, d.resume_at,
       d.manual_at, m.event_id, m.event_type, m.tags, m.channels, m.kept
from (
    select app_id, id, event_id, event_type, tags, channels, payload is not null as kept from message
    where app_id = :app_id and id >= :low_message and id <= :high_message
      and (:event_type::text is null or event_type = :event_type)
      and (:event_prefix::text is null or event_type ^@ :event_prefix)
      and (:tag::text is null or :tag = any(tags))
      and (:channel::text is null or :channel = any(channels))
      and (not :sendable or payload is not null)
    order by id
    offset 0
) m
cross join lateral (
    select * from delivery d
    where d.app_id = m.app_id and d.endpoint_id = any(:endpoint_ids::uuid[]) and d.message_id = m.id
      and (m.id > :low_message or d.endpoint_id > :low_endpoint)
      and (m.id < :high_message or d.endpoint_id < :high_endpoint)
      and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
      and (:http_low::smallint is null or d.status_code between :http_low and :http_low + 99)
      and (:error_kind::text is null or d.error_code = :error_kind or d.error_code ^@ (:error_kind || '_'))
      and (not :sendable or d.manual_at is null)
    offset 0
) d
order by m.id, d.endpoint_id
limit :limit;

-- name: log_endpoint_up
-- oldest first along the deliveries of one endpoint
select d.message_id, d.endpoint_id, d.state, d.failures, d.attempts, d.status_code, d.error_code, d.due_at, d.resume_at,
       d.manual_at, m.event_id, m.event_type, m.tags, m.channels, m.kept
from delivery d
join lateral (
    select event_id, event_type, tags, channels, payload is not null as kept from message
    where app_id = d.app_id and id = d.message_id
      and (:event_type::text is null or event_type = :event_type)
      and (:event_prefix::text is null or event_type ^@ :event_prefix)
      and (:tag::text is null or :tag = any(tags))
      and (:channel::text is null or :channel = any(channels))
      and (not :sendable or payload is not null)
    offset 0
) m on true
where d.app_id = :app_id and d.endpoint_id = :endpoint_id
  and d.message_id >= :low_message and d.message_id <= :high_message
  and (d.message_id, d.endpoint_id) > (:low_message, :low_endpoint)
  and (d.message_id, d.endpoint_id) < (:high_message, :high_endpoint)
  and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
  and (:http_low::smallint is null or d.status_code between :http_low and :http_low + 99)
  and (:error_kind::text is null or d.error_code = :error_kind or d.error_code ^@ (:error_kind || '_'))
  and (not :sendable or d.manual_at is null)
order by d.message_id
limit :limit;

-- name: log_endpoint_trouble_up
-- oldest first along the deliveries of one endpoint in trouble
select d.message_id, d.endpoint_id, d.state, d.failures, d.attempts, d.status_code, d.error_code, d.due_at, d.resume_at,
       d.manual_at, m.event_id, m.event_type, m.tags, m.channels, m.kept
from delivery d
join lateral (
    select event_id, event_type, tags, channels, payload is not null as kept from message
    where app_id = d.app_id and id = d.message_id
      and (:event_type::text is null or event_type = :event_type)
      and (:event_prefix::text is null or event_type ^@ :event_prefix)
      and (:tag::text is null or :tag = any(tags))
      and (:channel::text is null or :channel = any(channels))
      and (not :sendable or payload is not null)
    offset 0
) m on true
where d.app_id = :app_id and d.endpoint_id = :endpoint_id
  and d.message_id >= :low_message and d.message_id <= :high_message
  and (d.message_id, d.endpoint_id) > (:low_message, :low_endpoint)
  and (d.message_id, d.endpoint_id) < (:high_message, :high_endpoint)
  and (d.state in (2, 4) or (d.state = 1 and d.failures > 0) or d.error_code is not null)
  and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
  and (:http_low::smallint is null or d.status_code between :http_low and :http_low + 99)
  and (:error_kind::text is null or d.error_code = :error_kind or d.error_code ^@ (:error_kind || '_'))
  and (not :sendable or d.manual_at is null)
order by d.message_id
limit :limit;

-- name: log_trouble_up
-- oldest first along the deliveries in trouble
select d.message_id, d.endpoint_id, d.state, d.failures, d.attempts, d.status_code, d.error_code, d.due_at, d.resume_at,
       d.manual_at, m.event_id, m.event_type, m.tags, m.channels, m.kept
from delivery d
join lateral (
    select event_id, event_type, tags, channels, payload is not null as kept from message
    where app_id = d.app_id and id = d.message_id
      and (:event_type::text is null or event_type = :event_type)
      and (:event_prefix::text is null or event_type ^@ :event_prefix)
      and (:tag::text is null or :tag = any(tags))
      and (:channel::text is null or :channel = any(channels))
      and (not :sendable or payload is not null)
    offset 0
) m on true
where d.app_id = :app_id and (d.endpoint_id = any(:endpoint_ids::uuid[])) is true
  and d.message_id >= :low_message and d.message_id <= :high_message
  and (d.message_id, d.endpoint_id) > (:low_message, :low_endpoint)
  and (d.message_id, d.endpoint_id) < (:high_message, :high_endpoint)
  and (d.state in (2, 4) or (d.state = 1 and d.failures > 0) or d.error_code is not null)
  and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
  and (:http_low::smallint is null or d.status_code between :http_low and :http_low + 99)
  and (:error_kind::text is null or d.error_code = :error_kind or d.error_code ^@ (:error_kind || '_'))
  and (not :sendable or d.manual_at is null)
order by d.message_id, d.endpoint_id
limit :limit;

-- name: log_message_count$
-- how many match along the messages
select count(*)
from (
    select app_id, id, event_id, event_type, tags, channels, payload is not null as kept from message
    where app_id = :app_id and id >= :low_message and id <= :high_message
      and (:event_type::text is null or event_type = :event_type)
      and (:event_prefix::text is null or event_type ^@ :event_prefix)
      and (:tag::text is null or :tag = any(tags))
      and (:channel::text is null or :channel = any(channels))
      and (not :sendable or payload is not null)
    order by id
    offset 0
) m
cross join lateral (
    select * from delivery d
    where d.app_id = m.app_id and d.endpoint_id = any(:endpoint_ids::uuid[]) and d.message_id = m.id
      and (m.id > :low_message or d.endpoint_id > :low_endpoint)
      and (m.id < :high_message or d.endpoint_id < :high_endpoint)
      and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
      and (:http_low::smallint is null or d.status_code between :http_low and :http_low + 99)
      and (:error_kind::text is null or d.error_code = :error_kind or d.error_code ^@ (:error_kind || '_'))
      and (not :sendable or d.manual_at is null)
    offset 0
) d;

-- name: log_endpoint_count$
-- how many match along the deliveries of one endpoint
select count(*)
from delivery d
join lateral (
    select event_id, event_type, tags, channels, payload is not null as kept from message
    where app_id = d.app_id and id = d.message_id
      and (:event_type::text is null or event_type = :event_type)
      and (:event_prefix::text is null or event_type ^@ :event_prefix)
      and (:tag::text is null or :tag = any(tags))
      and (:channel::text is null or :channel = any(channels))
      and (not :sendable or payload is not null)
    offset 0
) m on true
where d.app_id = :app_id and d.endpoint_id = :endpoint_id
  and d.message_id >= :low_message and d.message_id <= :high_message
  and (d.message_id, d.endpoint_id) > (:low_message, :low_endpoint)
  and (d.message_id, d.endpoint_id) < (:high_message, :high_endpoint)
  and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
  and (:http_low::smallint is null or d.status_code between :http_low and :http_low + 99)
  and (:error_kind::text is null or d.error_code = :error_kind or d.error_code ^@ (:error_kind || '_'))
  and (not :sendable or d.manual_at is null);

-- name: log_endpoint_trouble_count$
-- how many match along the deliveries of one endpoint in trouble
select count(*)
from delivery d
join lateral (
    select event_id, event_type, tags, channels, payload is not null as kept from message
    where app_id = d.app_id and id = d.message_id
      and (:event_type::text is null or event_type = :event_type)
      and (:event_prefix::text is null or event_type ^@ :event_prefix)
      and (:tag::text is null or :tag = any(tags))
      and (:channel::text is null or :channel = any(channels))
      and (not :sendable or payload is not null)
    offset 0
) m on true
where d.app_id = :app_id and d.endpoint_id = :endpoint_id
  and d.message_id >= :low_message and d.message_id <= :high_message
  and (d.message_id, d.endpoint_id) > (:low_message, :low_endpoint)
  and (d.message_id, d.endpoint_id) < (:high_message, :high_endpoint)
  and (d.state in (2, 4) or (d.state = 1 and d.failures > 0) or d.error_code is not null)
  and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
  and (:http_low::smallint is null or d.status_code between :http_low and :http_low + 99)
  and (:error_kind::text is null or d.error_code = :error_kind or d.error_code ^@ (:error_kind || '_'))
  and (not :sendable or d.manual_at is null);

-- name: log_trouble_count$
-- how many match along the deliveries in trouble
select count(*)
from delivery d
join lateral (
    select event_id, event_type, tags, channels, payload is not null as kept from message
    where app_id = d.app_id and id = d.message_id
      and (:event_type::text is null or event_type = :event_type)
      and (:event_prefix::text is null or event_type ^@ :event_prefix)
      and (:tag::text is null or :tag = any(tags))
      and (:channel::text is null or :channel = any(channels))
      and (not :sendable or payload is not null)
    offset 0
) m on true
where d.app_id = :app_id and (d.endpoint_id = any(:endpoint_ids::uuid[])) is true
  and d.message_id >= :low_message and d.message_id <= :high_message
  and (d.message_id, d.endpoint_id) > (:low_message, :low_endpoint)
  and (d.message_id, d.endpoint_id) < (:high_message, :high_endpoint)
  and (d.state in (2, 4) or (d.state = 1 and d.failures > 0) or d.error_code is not null)
  and (:statuses::smallint[] is null or case when d.state = 1 and d.failures > 0 then 3 else d.state end = any(:statuses))
  and (:http_low::smallint is null or d.status_code between :http_low and :http_low + 99)
  and (:error_kind::text is null or d.error_code = :error_kind or d.error_code ^@ (:error_kind || '_'))
  and (not :sendable or d.manual_at is null);
