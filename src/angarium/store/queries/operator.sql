-- name: operator_failing
-- the failing endpoints of an organization, the longest failing first: along those of all organizations
select e.app_id, a.name as app_name, a.uid as app_uid, e.id, e.url, e.name, h.failing_since, h.failures,
       e.disabled_at, e.disabled_reason
from section.endpoint_health h
join section.endpoint e on e.app_id = h.app_id and e.id = h.endpoint_id and e.health_generation = h.generation
join section.application a on a.id = e.app_id
where h.failing_since is not null and (h.failing_since, h.endpoint_id) > (:at, :endpoint_id)
  and e.org_id = :org_id and e.deleted_at is null and e.disabled_at is null and a.deleted_at is null
order by h.failing_since, h.endpoint_id
limit :limit;

-- name: operator_disabled
-- the disabled endpoints of an organization, the most recent first
select e.app_id, a.name as app_name, a.uid as app_uid, e.id, e.url, e.name, h.failing_since,
       coalesce(h.failures, 0) as failures, e.disabled_at, e.disabled_reason
from section.endpoint e
join section.application a on a.id = e.app_id
left join section.endpoint_health h on h.app_id = e.app_id and h.endpoint_id = e.id and h.generation = e.health_generation
where e.org_id = :org_id and e.disabled_at is not null and e.deleted_at is null and a.deleted_at is null
  and (e.disabled_at, e.id) < (:at, :endpoint_id)
order by e.disabled_at desc, e.id desc
limit :limit;

-- name: operator_healthy
-- the endpoints of applications that are neither failing nor disabled, application by application
select e.*
from unnest(:app_ids::uuid[]) with ordinality as a (id, place)
cross join lateral (
    select e.app_id, e.id, e.url, e.name, null::timestamptz as failing_since, coalesce(h.failures, 0) as failures,
           e.disabled_at, e.disabled_reason
    from section.endpoint e
    left join section.endpoint_health h on h.app_id = e.app_id and h.endpoint_id = e.id and h.generation = e.health_generation
    where e.living_app_id = a.id and (e.living_app_id, e.id) < (:app_id, :endpoint_id)
      and e.disabled_at is null and h.failing_since is null
    order by e.id desc
    limit :limit
) e
order by a.place, e.id desc
limit :limit;

-- name: operator_standing
-- counts of applications: endpoints by health, and failing deliveries up to a number
select a.id, e.endpoints, e.disabled, e.failing, failing.number as failing_deliveries
from unnest(:app_ids::uuid[]) as a (id)
cross join lateral (
    select count(*) as endpoints, count(e.disabled_at) as disabled,
           count(h.failing_since) filter (where e.disabled_at is null) as failing
    from section.endpoint e
    left join section.endpoint_health h on h.app_id = e.app_id and h.endpoint_id = e.id and h.generation = e.health_generation
    where e.living_app_id = a.id
) e
cross join lateral (
    select count(*) as number from (
        (
            select from section.retry
            where app_id = a.id and message_id >= :lowest
              and (state in (2, 4) or (state = 1 and failures > 0) or error_code is not null)
            limit :most
        )
        union all
        (
            select from section.attempt
            where app_id = a.id and message_id >= :lowest and final and (state <> 0 or error_code is not null)
            limit :most
        )
        limit :most
    ) counted
) failing;

-- name: operator_undelivered
-- the endpoints of applications with undelivered deliveries that could be sent, counted up to a number each. One
-- application after the other, and in those with any, one endpoint after the other: the limit ends the walk, so the
-- cost of a page depends on what it shows
select a.id as app_id, e.id, e.url, e.disabled_at is not null as disabled, undelivered.number
from (
    select id from unnest(:app_ids::uuid[]) as a (id)
    where exists (
        select from section.attempt
        where app_id = a.id and message_id >= :lowest and final and (state <> 0 or error_code is not null) and state in (2, 4)
        offset 0
    )
    offset 0
) as a
cross join lateral (
    select id, url, disabled_at from section.endpoint
    where living_app_id = a.id and (living_app_id, id) < (:app_id, :endpoint_id)
    order by id desc
    offset 0
) e
cross join lateral (
    select count(*) as number from (
        select
        -- include: undelivered
        where d.endpoint_id = e.id and d.app_id = a.id and d.message_id >= :lowest
        limit :most
    ) counted
) undelivered
where undelivered.number > 0
limit :limit;

-- name: operator_message_by_id
-- which of these applications have the message with this id
select a.id as app_id, m.id
from unnest(:app_ids::uuid[]) as a (id)
cross join lateral (select id from section.message where app_id = a.id and id = :id offset 0) m;

-- name: operator_message_by_event_id
-- the messages of these applications with an operator's own id, at most `:limit`
select a.id as app_id, m.message_id as id
from unnest(:app_ids::uuid[]) as a (id)
cross join lateral (select message_id from section.event_id where app_id = a.id and event_id = :event_id offset 0) m
limit :limit;
