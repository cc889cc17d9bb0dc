-- name: dead_letter_endpoint
-- The endpoints with dead letters since a message, and how many could be sent: one walk along attempt_endpoint_failing
-- for each endpoint.
select e.app_id, e.id, e.url, e.disabled_at is not null as disabled, undelivered.number
from section.application a
join section.endpoint e on e.living_app_id = a.id
cross join lateral (
    select count(*) as number
    -- include: undelivered
    where d.endpoint_id = e.id and d.app_id = e.app_id and d.message_id >= :lowest
) as undelivered
where a.org_id = :org_id and a.deleted_at is null and undelivered.number > 0
    and (cast(:app_id as uuid) is null or a.id = :app_id)
    and (cast(:endpoint_id as uuid) is null or e.id = :endpoint_id)
order by e.app_id, e.id;

-- name: dead_letter_list
-- Dead letters since a message, newest first for each endpoint, at most `limit` of each.
select e.app_id, e.id as endpoint_id, e.url, undelivered.message_id, undelivered.event_type, undelivered.state, undelivered.failures
from section.application a
join section.endpoint e on e.living_app_id = a.id
cross join lateral (
    select d.message_id, m.event_type, d.state, d.failures
    -- include: undelivered
    where d.endpoint_id = e.id and d.app_id = e.app_id and d.message_id >= :lowest
    order by d.message_id desc
    limit :limit
) as undelivered
where a.org_id = :org_id and a.deleted_at is null
    and (cast(:app_id as uuid) is null or a.id = :app_id)
    and (cast(:endpoint_id as uuid) is null or e.id = :endpoint_id)
order by undelivered.message_id desc
limit :limit;
