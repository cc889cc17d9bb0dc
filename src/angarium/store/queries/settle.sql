-- name: settle
-- Record a batch of attempts and move their deliveries, in one statement. A move is guarded by the state
-- and the count of failures that the attempt started from, so a late outcome never undoes a newer one; a
-- success always delivers, for it is a fact. A batch whose commit was not confirmed is settled again: the
-- second time changes nothing.
with outcome as materialized (
    -- a column of nulls comes as an empty array, which unnest fills up
    select *
    from unnest(
        :ids::uuid[], :app_ids::uuid[], :endpoint_ids::uuid[], :message_ids::uuid[],
        :moves::text[], :failures::smallint[], :numbers::smallint[], :due::timestamptz[], :manual_at::timestamptz[],
        :statuses::smallint[], :status_codes::smallint[], :error_codes::text[], :errors::text[],
        :responses::bytea[], :durations::integer[], :urls::text[], :exchanges::bytea[]
    ) as outcome (
        id, app_id, endpoint_id, message_id,
        move, failures, number, due_at, manual_at,
        status, status_code, error_code, error,
        response, duration_ms, url, exchange
    )
),
recorded as (
    insert into attempt (
        app_id, message_id, id, endpoint_id, number, manual, status, status_code,
        error_code, error, response, duration_ms, next_at, url, exchange
    )
    select app_id, message_id, id, endpoint_id, number, manual_at is not null, status, status_code,
           error_code, error, response, duration_ms, due_at, url, exchange
    from outcome
    where status is not null
    on conflict do nothing
),
health as (
    insert into endpoint_health (
        app_id, endpoint_id, generation, failing_since, failures, run_since, run_until, clock_since
    )
    select noted.*
    from unnest(
        :sick_apps::uuid[], :sick_endpoints::uuid[], :generations::integer[], :failing_since::timestamptz[],
        :sick_failures::integer[], :run_since::timestamptz[], :run_until::timestamptz[], :clock_since::timestamptz[]
    ) as noted (app_id, endpoint_id, generation, failing_since, failures, run_since, run_until, clock_since)
    left join endpoint e on e.app_id = noted.app_id and e.id = noted.endpoint_id
    where e.health_generation is null or e.health_generation <= noted.generation
    on conflict (app_id, endpoint_id) do update
        set generation = excluded.generation, failing_since = excluded.failing_since, failures = excluded.failures,
            run_since = excluded.run_since, run_until = excluded.run_until, clock_since = excluded.clock_since
        where endpoint_health.generation <= excluded.generation
)
update delivery d
set state = case
        when outcome.move = 'deliver' then 0
        when outcome.move = 'cancel' and d.state = 1 then 4
        when outcome.move = 'exhaust' and d.state = 1 and d.failures = outcome.failures then 2
        else d.state end,
    failures = case
        when outcome.move in ('retry', 'exhaust') and d.state = 1 and d.failures = outcome.failures
        then d.failures + 1 else d.failures end,
    attempts = greatest(d.attempts, outcome.number),
    status_code = case when outcome.number >= greatest(d.attempts, 1) then outcome.status_code else d.status_code end,
    error_code = case when outcome.number >= greatest(d.attempts, 1) then outcome.error_code else d.error_code end,
    -- a manual attempt asked for since this one began comes first, unless it waits for the endpoint to be
    -- enabled; the schedule resumes after it
    due_at = case
        when nullif(d.manual_at, outcome.manual_at) is not null then case when d.due_at is not null then d.manual_at end
        when outcome.move in ('deliver', 'cancel') then null
        when outcome.move = 'keep' and d.manual_at is null then d.due_at
        when outcome.move = 'keep' then case when d.state = 1 then d.resume_at end
        when d.state = 1 and d.failures = outcome.failures then outcome.due_at
        else d.due_at end,
    resume_at = case
        when nullif(d.manual_at, outcome.manual_at) is null then null
        when outcome.move in ('deliver', 'cancel') then null
        when outcome.move = 'keep' then d.resume_at
        when d.state = 1 and d.failures = outcome.failures then outcome.due_at
        else d.resume_at end,
    manual_at = nullif(d.manual_at, outcome.manual_at),
    scheduled = d.scheduled and outcome.move <> 'retry'
from outcome
where d.app_id = outcome.app_id
  and d.endpoint_id = outcome.endpoint_id
  and d.message_id = outcome.message_id
returning d.endpoint_id, d.message_id, d.state, d.due_at;

-- name: disable_endpoint$
-- The endpoint gets nothing from now on; true for the one caller that changed it.
with changed as (
    update endpoint
    set disabled_at = :now, disabled_reason = :reason, revision = revision + 1, updated_at = :now
    where app_id = :app_id and id = :endpoint_id and health_generation = coalesce(:generation::integer, health_generation)
      and disabled_at is null and deleted_at is null
    returning id
)
select exists (select from changed) as changed;

-- name: endpoint_uids
-- What the operator calls these endpoints and their applications.
select e.id, e.uid, a.uid as app_uid
from unnest(:app_ids::uuid[], :endpoint_ids::uuid[]) as named (app_id, endpoint_id)
join endpoint e on e.app_id = named.app_id and e.id = named.endpoint_id
join application a on a.id = e.app_id;

-- name: hint!
-- Tell the owners of shards something when the transaction commits: a hint, the table is the truth.
select pg_notify('angarium', hint) from unnest(:hints::text[]) as hint;

-- name: hint_alone!
-- The same in a transaction of its own, which need not wait for the disk.
with quick as materialized (select set_config('synchronous_commit', 'off', true))
select pg_notify('angarium', hint) from quick cross join unnest(:hints::text[]) as hint;
