-- part: sent_to
-- the URL to which attempt `a` was sent: a former URL of its endpoint, or the current one
coalesce(
    (
        select f.url from section.former_url f
        where f.endpoint_id = a.endpoint_id and f.revision >= a.revision
        order by f.revision
        limit 1
    ),
    (select e.url from section.endpoint e where e.app_id = a.app_id and e.id = a.endpoint_id)
) as url

-- name: attempt_get^
-- one attempt for a message, with its message
select a.id, a.app_id, a.message_id, a.endpoint_id, a.number, a.manual, a.next_at, a.status, a.status_code, a.error_code, a.error,
       a.response, a.duration_ms, a.exchange, m.event_id, m.event_type, m.channels, m.tags, m.expires_at,
       -- include: sent_to
from section.attempt a
left join section.message m on m.app_id = :app_id and m.id = :message_id
where a.app_id = :app_id and a.message_id = :message_id and a.id = :id and a.status is not null;

-- name: attempt_whole
-- the newest attempts for one message with everything that was recorded: down the primary key
select a.*,
       -- include: sent_to
from section.attempt a
where a.app_id = :app_id and a.message_id = :message_id and a.status is not null
order by a.id desc
limit :limit;

-- name: attempt_expunge$
-- replace the body of the response by a mark; returns the id if the attempt exists
update section.attempt set response = :mark
where app_id = :app_id and message_id = :message_id and id = :id and status is not null
returning id;

-- part: attempt_page
-- attempts within bounds; `offset 0` keeps the message a lookup per row
select a.id, a.app_id, a.message_id, a.endpoint_id, a.number, a.manual, a.next_at, a.status, a.status_code, a.error_code, a.error,
       case when :with_response then a.response end as response, a.duration_ms,
       m.event_id, m.event_type, m.channels, m.tags, m.expires_at,
       -- include: sent_to
from section.attempt a
left join lateral (
    select event_id, event_type, channels, tags, expires_at from section.message
    where app_id = :app_id and id = a.message_id and id >= :low_message and id <= :high_message offset 0
) m on true
where a.app_id = :app_id and a.id > :low and a.id < :high and a.status is not null
  and (:status::smallint is null or a.status = :status)
  and (:code_low::smallint is null or a.status_code between :code_low and :code_low + 99)
  and (:channel::text is null or :channel = any(m.channels))
  and (:tag::text is null or :tag = any(m.tags))
  and (:event_types::text[] is null or m.event_type = any(:event_types))

-- walk: attempt_by_endpoint
-- along attempt_endpoint in all partitions, merged: an attempt may be for a message of any age
-- include: attempt_page
  and a.endpoint_id = :endpoint_id
order by a.id desc
limit :limit;

-- walk: attempt_by_message
-- along the primary key
-- include: attempt_page
  and a.message_id = :low_message and (:endpoint_id::uuid is null or a.endpoint_id = :endpoint_id)
order by a.id desc
limit :limit;

-- walk: attempt_end$
-- the first attempt at an endpoint that a walk over `:rows` of them does not reach; reads attempt_endpoint only. The
-- row comparison compares ids. The planner expects more rows from it than from a range, so it uses the index
select id from section.attempt
where endpoint_id = :endpoint_id and (id, endpoint_id) > (:low, :endpoint_id) and id < :high and status is not null
  -- include: own_endpoint
order by id desc
offset :rows limit 1;
