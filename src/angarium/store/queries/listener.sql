-- name: listener_running!
-- record that a listener is running, unless it was deleted meanwhile
insert into section.listener (app_id, endpoint_id, heard_at)
select app_id, id, :now::timestamptz from section.endpoint
where app_id = :app_id and id = :endpoint_id and deleted_at is null
on conflict (app_id, endpoint_id) do update set heard_at = excluded.heard_at;

-- name: listener_fetch
-- lease the next deliveries of a listener, earliest first; they are due again when the lease ends
with due as (
    select app_id, endpoint_id, message_id from section.retry
    where shard = 64 and app_id = :app_id and endpoint_id = :endpoint_id and due_at <= :now
    order by due_at
    limit :limit
    for update skip locked
),
leased as (
    update section.retry d set due_at = :lease_until
    from due
    where d.endpoint_id = due.endpoint_id and d.message_id = due.message_id
    returning d.app_id, d.message_id, d.state, d.failures, d.attempts, d.manual_at
)
select leased.message_id, leased.state, leased.failures, leased.attempts, leased.manual_at,
       c.event_type, c.body as payload, c.content_type, c.endpoint_id is not null as test
from leased
left join section.content(array(select app_id from leased), array(select message_id from leased), :now::timestamptz) as c
    on c.app_id = leased.app_id and c.id = leased.message_id
order by leased.message_id;

-- name: listener_silent
-- enabled listeners that have not been running since a time
select l.app_id, l.endpoint_id, e.org_id
from section.listener l
join section.endpoint e on e.app_id = l.app_id and e.id = l.endpoint_id
where l.heard_at < :since and e.disabled_at is null and e.deleted_at is null
order by l.heard_at
limit :limit;
