-- name: stats_add!
-- add counts to those of their hours, in order of key, to prevent deadlocks; not those of erased applications
insert into section.attempt_hour as h (
    app_id, endpoint_id, hour, delivered, failed, latency, failed_at, error_code
)
select app_id, endpoint_id, hour, delivered, failed, string_to_array(latency, ' ')::integer[], failed_at, error_code
from unnest(
    :app_ids::uuid[], :endpoint_ids::uuid[], :hours::timestamptz[], :delivered::integer[], :failed::integer[],
    :latencies::text[], :failed_at::timestamptz[], :error_codes::text[]
) as count (app_id, endpoint_id, hour, delivered, failed, latency, failed_at, error_code)
where exists (select from section.application where id = count.app_id and erasing_at is null offset 0)
order by app_id, endpoint_id, hour
on conflict (app_id, endpoint_id, hour) do update
set delivered = h.delivered + excluded.delivered,
    failed = h.failed + excluded.failed,
    latency = (
        select array_agg(coalesce(mine, 0) + coalesce(yours, 0) order by place)
        from unnest(h.latency, excluded.latency) with ordinality as class (mine, yours, place)
    ),
    failed_at = greatest(h.failed_at, excluded.failed_at),
    error_code = case when excluded.failed_at >= coalesce(h.failed_at, excluded.failed_at)
        then excluded.error_code else h.error_code end;

-- name: stats_hours
-- the counts of one endpoint, or of a whole application, since an hour
select hour, delivered, failed, latency from section.attempt_hour
where app_id = :app_id and endpoint_id = :endpoint_id and hour >= :since
order by hour;

-- name: stats_health
-- the health of endpoints: attempts since an hour, the last failure since an earlier hour, and the health recorded by
-- their lanes
select e.id, e.disabled_at, e.disabled_reason, h.failing_since, coalesce(h.failures, 0) as failures,
       recent.delivered, recent.failed, last.failed_at, last.error_code
from section.endpoint e
left join section.endpoint_health h on h.app_id = e.app_id and h.endpoint_id = e.id and h.generation = e.health_generation
cross join lateral (
    select coalesce(sum(delivered), 0) as delivered, coalesce(sum(failed), 0) as failed from section.attempt_hour
    where app_id = e.app_id and endpoint_id = e.id and hour >= :recent
) recent
left join lateral (
    select failed_at, error_code from section.attempt_hour
    where app_id = e.app_id and endpoint_id = e.id and hour >= :since and failed > 0
    order by hour desc
    limit 1
) last on true
where e.app_id = :app_id and e.id = any(:endpoint_ids::uuid[]);
