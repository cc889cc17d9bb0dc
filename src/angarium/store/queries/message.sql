-- name: message_get^
-- one message of an application; the payload only when it is wanted
select id, app_id, event_id, event_type, case when :with_payload then payload end as payload,
       payload is not null as kept, channels, tags, expires_at
from message
where app_id = :app_id and id = :id;

-- name: message_by_event_id$
-- the id of the message that has the operator's own id
select message_id from event_id where app_id = :app_id and event_id = :event_id;

-- walk: message_page
-- within bounds: along the primary key
select id, app_id, event_id, event_type, case when :with_payload then payload end as payload,
       payload is not null as kept, channels, tags, expires_at
from message
where app_id = :app_id and id > :low and id < :high
  and (:channel::text is null or :channel = any(channels))
  and (:tag::text is null or :tag = any(tags))
  and (:event_types::text[] is null or event_type = any(:event_types))
order by id desc
limit :limit;

-- name: message_expunge$
-- forget one payload; gives the id when the message exists
update message set payload = null where app_id = :app_id and id = :id returning id;

-- name: message_forget!
-- forget payloads whose time is over, a batch at a time, beside other processes that do the same
with due as (
    select app_id, id from message
    where expires_at <= :now and payload is not null
    order by expires_at
    limit :limit
    for update skip locked
)
update message m set payload = null
from due
where m.app_id = due.app_id and m.id = due.id;
