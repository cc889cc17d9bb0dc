-- name: resend_many!
-- owe one manual attempt to each of these deliveries; a waiting automatic retry goes on afterwards at the
-- time it had. What another transaction holds is being attempted or resent right now
with wanted as (
    select d.endpoint_id, d.message_id
    from unnest(:endpoint_ids::uuid[], :message_ids::uuid[]) as key (endpoint_id, message_id)
    join delivery d on d.app_id = :app_id and d.endpoint_id = key.endpoint_id and d.message_id = key.message_id
    where d.manual_at is null
    order by d.message_id, d.endpoint_id
    for update of d skip locked
)
update delivery d
set resume_at = case when d.state = 1 then d.due_at end, due_at = :now, manual_at = :now
from wanted
where d.app_id = :app_id and d.endpoint_id = wanted.endpoint_id and d.message_id = wanted.message_id;
