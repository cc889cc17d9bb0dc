-- part: complete_health
health as (
    insert into section.endpoint_health (
        app_id, endpoint_id, generation, failing_since, failures, run_since, run_until, clock_since
    )
    select noted.*
    from unnest(
        :sick_apps::uuid[], :sick_endpoints::uuid[], :generations::integer[], :failing_since::timestamptz[],
        :sick_failures::integer[], :run_since::timestamptz[], :run_until::timestamptz[], :clock_since::timestamptz[]
    ) as noted (app_id, endpoint_id, generation, failing_since, failures, run_since, run_until, clock_since)
    join section.endpoint e on e.app_id = noted.app_id and e.id = noted.endpoint_id
    where e.health_generation <= noted.generation
    on conflict (app_id, endpoint_id) do update
        set generation = excluded.generation, failing_since = excluded.failing_since, failures = excluded.failures,
            run_since = excluded.run_since, run_until = excluded.run_until, clock_since = excluded.clock_since
        where endpoint_health.generation <= excluded.generation
)

-- part: complete_record
insert into section.attempt (
    message_id, id, endpoint_id, app_id, number, failures, revision, duration_ms, state, status, status_code,
    manual, final, next_at, error_code, error, response, exchange
)
select message_id, id, endpoint_id, app_id, case when status is null then made_now else number end, failed_now,
       revision, duration_ms, state, status, case when status is null then last_status else status_code end,
       manual_at is not null, over, due_at,
       case when status is null then last_error else error_code end, error, response, exchange
from placed

-- name: complete
-- Record a batch of attempts and move their deliveries, in one statement. A delivery that has ended leaves the queue,
-- and its record is the attempt. A move applies only if the delivery still has the state and the count of failures with
-- which the attempt started, so a late outcome never undoes a newer one. A success always delivers.
-- Deliveries that are no longer in their table are not returned, and nothing of them is recorded.
-- A delivery in `pending` has no attempt yet, and only one transaction can delete it, so its attempt cannot conflict.
-- `on conflict` would cost a second WAL record (HEAP_CONFIRM) and a second lookup in each index.
with outcome as materialized (
    -- a column of nulls is passed as an empty array, which unnest pads
    select *
    from unnest(
        :ids::uuid[], :app_ids::uuid[], :endpoint_ids::uuid[], :message_ids::uuid[], :shards::smallint[],
        :pending::boolean[], :moves::text[], :failures::integer[], :numbers::integer[], :due::timestamptz[],
        :manual_at::timestamptz[], :statuses::smallint[], :status_codes::smallint[], :error_codes::text[],
        :errors::text[], :responses::bytea[], :durations::integer[], :revisions::integer[], :exchanges::bytea[]
    ) as outcome (
        id, app_id, endpoint_id, message_id, shard,
        pending, move, failures, number, due_at,
        manual_at, status, status_code, error_code,
        error, response, duration_ms, revision, exchange
    )
),
queued as (
    delete from section.pending p
    using outcome o
    where o.pending and p.shard = o.shard and p.endpoint_id = o.endpoint_id and p.message_id = o.message_id
    returning o.*, p.seq, 1::smallint as was, 0 as failed, 0 as made, p.due_at as queued_due,
        null::timestamptz as resume_at, null::timestamptz as queued_manual,
        null::smallint as last_status, null::text as last_error
),
held as materialized (
    select o.*, r.seq, r.state, r.failures as failed, r.attempts, r.due_at as queued_due,
           r.resume_at, r.manual_at as queued_manual, r.status_code as last_status, r.error_code as last_error
    from outcome o
    join section.retry r on r.endpoint_id = o.endpoint_id and r.message_id = o.message_id
    where not o.pending
    for update of r
),
judged as (
    select q.*,
        case
            when move = 'deliver' then 0
            when move = 'cancel' and was = 1 then 4
            when move = 'exhaust' and on_schedule then 2
            else was end as state,
        failed + (move in ('retry', 'exhaust') and on_schedule)::integer as failed_now,
        greatest(made, number) as made_now,
        case when number >= greatest(made, 1) then status_code else last_status end as shown_status,
        case when number >= greatest(made, 1) then error_code else last_error end as shown_error,
        -- a manual attempt that was requested since this one started comes first, unless it waits for the endpoint to
        -- be enabled; the schedule continues after it
        case
            when asked_again is not null then case when queued_due is not null then asked_again end
            when move in ('deliver', 'cancel') then null
            when move = 'keep' and queued_manual is null then queued_due
            when move = 'keep' then case when was = 1 then resume_at end
            when on_schedule then due_at
            else queued_due end as next_due,
        case
            when asked_again is null or move in ('deliver', 'cancel') then null
            when move = 'keep' then resume_at
            when on_schedule then due_at
            else resume_at end as next_resume
    from (
        select found.*, was = 1 and failed = failures as on_schedule, nullif(queued_manual, manual_at) as asked_again
        from (select * from queued union all select * from held) as found
    ) q
),
placed as materialized (
    -- `over`: the delivery has ended and leaves the queue
    select judged.*, asked_again is null and state <> 1 as over from judged
),
entered as (
    insert into section.retry (
        endpoint_id, message_id, app_id, shard, seq, state, failures, attempts, due_at, resume_at, manual_at,
        scheduled, status_code, error_code
    )
    select endpoint_id, message_id, app_id, shard, seq, state, failed_now, made_now, next_due, next_resume,
           asked_again, false, shown_status, shown_error
    from placed
    where pending and not over
),
moved as (
    update section.retry r
    set state = placed.state, failures = failed_now, attempts = made_now, due_at = next_due, resume_at = next_resume,
        manual_at = asked_again, scheduled = r.scheduled and move <> 'retry',
        status_code = shown_status, error_code = shown_error
    from placed
    where not placed.pending and not over and r.endpoint_id = placed.endpoint_id and r.message_id = placed.message_id
),
ended as (
    delete from section.retry r
    using placed
    where not placed.pending and over and r.endpoint_id = placed.endpoint_id and r.message_id = placed.message_id
),
recorded as (
    -- include: complete_record
    where pending and (status is not null or over)
    order by message_id, id  -- fills index pages one after the other; another order would split them
    returning app_id, status, state, final
),
recorded_again as (
    -- include: complete_record
    where not pending and (status is not null or over)
    -- it was recorded by a commit that was not confirmed, and the delivery is in `retry`
    on conflict do nothing
    returning app_id, status, state, final
),
counted as (
    insert into section.usage_entry (app_id, month, attempts, failed, delivered, exhausted, canceled)
    select app_id, :month::timestamptz, count(status), count(*) filter (where status = 2),
           count(*) filter (where final and state = 0), count(*) filter (where final and state = 2),
           count(*) filter (where final and state = 4)
    from (select * from recorded union all select * from recorded_again) as recorded
    group by app_id
),
-- include: complete_health

select endpoint_id, message_id, next_due as due_at from placed;

-- name: complete_late!
-- Record attempts of deliveries that left the queue during the attempt: canceled, deleted, or recorded by a commit that
-- was not confirmed, which is found by the attempt's id. A success still delivers. `:first` and `:last` are the first
-- and last message, so that partitions of other days are not read. Nothing is recorded of an application that is being
-- erased, and nothing that the receiver said about a message that is. Of deliveries, only those are counted that a late
-- success delivers: the others were counted when they ended.
with outcome as materialized (
    select *
    from unnest(
        :ids::uuid[], :app_ids::uuid[], :endpoint_ids::uuid[], :message_ids::uuid[], :failures::integer[],
        :numbers::integer[], :manual_at::timestamptz[], :statuses::smallint[], :status_codes::smallint[],
        :error_codes::text[], :errors::text[], :responses::bytea[], :durations::integer[],
        :revisions::integer[], :exchanges::bytea[]
    ) as outcome (
        id, app_id, endpoint_id, message_id, failures,
        number, manual_at, status, status_code,
        error_code, error, response, duration_ms,
        revision, exchange
    )
    where status is not null
      and exists (select from section.application where id = outcome.app_id and erasing_at is null offset 0)
      and not exists (
          select from section.attempt a
          where a.message_id = outcome.message_id and a.id = outcome.id
            and a.message_id >= :first and a.message_id <= :last
      )
),
erased as materialized (
    select id from section.message
    where id = any(:message_ids::uuid[]) and app_id = any(:app_ids::uuid[]) and id >= :first and id <= :last
      and erased_at is not null
),
compared as materialized (
    -- the newest attempt is the record; once there is a success, it stays the record
    select o.*, a.id as record_id, coalesce(a.state, 4::smallint) as record_state, a.number as record_number,
           a.failures as record_failures,
           a.id is null or o.number > a.number or (o.status = 0 and a.state <> 0) as final
    from outcome o
    left join lateral (
        select id, state, number, failures from section.attempt
        where endpoint_id = o.endpoint_id and message_id = o.message_id and final
          and message_id >= :first and message_id <= :last
    ) a on true
),
replaced as (
    update section.attempt a set final = false
    from compared c
    where c.final and a.message_id = c.message_id and a.id = c.record_id and a.final
      and a.message_id >= :first and a.message_id <= :last
    returning a.id
),
recorded as (
    insert into section.attempt (
        message_id, id, endpoint_id, app_id, number, failures, revision, duration_ms, state, status, status_code,
        manual, final, error_code, error, response, exchange
    )
    select message_id, id, endpoint_id, app_id, number, coalesce(record_failures, failures), revision, duration_ms,
           case when status = 0 then 0 else record_state end, status, status_code, manual_at is not null,
           final, error_code, case when not gone then error end, case when not gone then response end,
           case when not gone then exchange end
    from (select *, message_id in (select id from erased) as gone from compared) as compared
    where (select count(*) from replaced) >= 0
    on conflict do nothing
    returning app_id, status, final
)
insert into section.usage_entry (app_id, month, attempts, failed, delivered)
select app_id, :month::timestamptz, count(*), count(*) filter (where status = 2),
       count(*) filter (where final and status = 0)
from recorded
group by app_id;

-- name: disable_endpoint$
-- Disable an endpoint. Returns true only if this call disabled it.
with changed as (
    update section.endpoint
    set disabled_at = :now, disabled_reason = :reason, revision = revision + 1, updated_at = :now
    where app_id = :app_id and id = :endpoint_id and health_generation = coalesce(:generation::integer, health_generation)
      and disabled_at is null and deleted_at is null
    returning id
)
select exists (select from changed) as changed;

-- name: endpoint_uids
-- The operator's own ids of endpoints and their applications.
select e.id, e.uid, a.uid as app_uid
from unnest(:app_ids::uuid[], :endpoint_ids::uuid[]) as named (app_id, endpoint_id)
join section.endpoint e on e.app_id = named.app_id and e.id = named.endpoint_id
join section.application a on a.id = e.app_id;

-- name: hint!
-- Send hints to the owners of shards when the transaction commits. The table is the truth.
select pg_notify('angarium', hint) from unnest(:hints::text[]) as hint;

-- name: hint_alone!
-- The same in a transaction of its own, without waiting for the disk.
with quick as materialized (select set_config('synchronous_commit', 'off', true))
select pg_notify('angarium', hint) from quick cross join unnest(:hints::text[]) as hint;
