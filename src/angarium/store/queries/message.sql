-- name: message_get^
-- one message of an application
select id, app_id, event_id, event_type, channels, tags, expires_at from section.message
where app_id = :app_id and id = :id;

-- name: message_by_event_id$
-- the id of the message with an operator's own id
select message_id from section.event_id where app_id = :app_id and event_id = :event_id;

-- walk: message_end$
-- the first message that a walk over `:rows` messages does not reach
select id from section.message
where app_id = :app_id and id > :low and id < :high
order by id desc
offset :rows limit 1;

-- walk: message_page
-- within bounds: along the primary key
select id, app_id, event_id, event_type, channels, tags, expires_at from section.message
where app_id = :app_id and id > :low and id < :high
  and (:channel::text is null or :channel = any(channels))
  and (:tag::text is null or :tag = any(tags))
  and (:event_types::text[] is null or event_type = any(:event_types))
order by id desc
limit :limit;

-- name: payload_read
-- the payloads of messages that exist and have not expired; the bounds leave out the partitions of other days
select wanted.id, case when :with_body then p.body end as body
from unnest(:ids::uuid[], :expiries::timestamptz[]) as wanted (id, expires_at)
cross join lateral (
    select body from section.payload
    where message_id = wanted.id and expires_at = wanted.expires_at and expires_at between :first and :last
      and expires_at > :now
    offset 0
) p;

-- name: payload_expunge!
-- delete a payload before it expires
delete from section.payload where message_id = :id and expires_at = :expires_at;
