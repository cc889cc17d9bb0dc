-- name: resend_many!
-- owe one manual attempt to each of these deliveries; a waiting automatic retry goes on afterwards at the
-- time it had. Without a due time they wait for the endpoint, which is disabled. What another transaction holds is being attempted or resent right now
with wanted as (
    select d.endpoint_id, d.message_id
    from unnest(:endpoint_ids::uuid[], :message_ids::uuid[]) as key (endpoint_id, message_id)
    join delivery d on d.app_id = :app_id and d.endpoint_id = key.endpoint_id and d.message_id = key.message_id
    where d.manual_at is null
    order by d.message_id, d.endpoint_id
    for update of d skip locked
)
update delivery d
set state = case when d.state = 1 and d.due_at is not null and :due_at::timestamptz is null then 4 else d.state end,
    resume_at = case when d.state = 1 and :due_at::timestamptz is not null then d.due_at end,
    due_at = :due_at::timestamptz, manual_at = :now
from wanted
where d.app_id = :app_id and d.endpoint_id = wanted.endpoint_id and d.message_id = wanted.message_id;
