-- Manual attempts, and messages for endpoints that never got them. A delivery that is over returns to the queue: its
-- record in the history is not final any more.

-- part: resend_wanted
wanted as materialized (
    select * from unnest(:endpoint_ids::uuid[], :message_ids::uuid[], :shards::smallint[])
        as wanted (endpoint_id, message_id, shard)
)

-- part: resend_queued
-- Without a due time the attempt waits for its endpoint, which is disabled, so that an automatic retry is canceled.
taken as (
    delete from section.pending p
    using free_pending f
    where p.shard = f.shard and p.endpoint_id = f.endpoint_id and p.message_id = f.message_id
    returning p.*
),
entered as (
    insert into section.retry (endpoint_id, message_id, app_id, shard, seq, state, due_at, resume_at, manual_at)
    select endpoint_id, message_id, app_id, shard, seq, case when :due_at::timestamptz is null then 4 else 1 end,
           :due_at::timestamptz, case when :due_at::timestamptz is not null then due_at end, :now
    from taken
    returning 1
),
moved as (
    update section.retry r
    set state = case when r.state = 1 and r.due_at is not null and :due_at::timestamptz is null then 4 else r.state end,
        resume_at = case
            when :due_at::timestamptz is null then null
            when r.state = 1 and r.manual_at is null then r.due_at
            else r.resume_at end,
        due_at = :due_at::timestamptz, manual_at = :now
    from free_retry f
    where r.endpoint_id = f.endpoint_id and r.message_id = f.message_id
    returning 1
)
select (select count(*) from entered) + (select count(*) from moved)

-- name: resend_queued$
-- Ask for one manual attempt of a delivery that is queued; a waiting automatic retry goes on afterwards at the time it
-- had. An attempt that is being recorded is waited for.
with
-- include: resend_wanted
, free_pending as materialized (
    select p.shard, p.endpoint_id, p.message_id from wanted w
    join section.pending p on p.shard = w.shard and p.endpoint_id = w.endpoint_id and p.message_id = w.message_id
    where p.app_id = :app_id
    for update of p
),
free_retry as materialized (
    select r.endpoint_id, r.message_id from wanted w
    join section.retry r on r.endpoint_id = w.endpoint_id and r.message_id = w.message_id
    where r.app_id = :app_id
    for update of r
),
-- include: resend_queued
;

-- name: resend_queued_many$
-- The same of many, in order of message. What another transaction holds is being attempted or resent right now, and is
-- passed over, as is what a manual attempt was asked for already.
with
-- include: resend_wanted
, free_pending as materialized (
    select p.shard, p.endpoint_id, p.message_id from wanted w
    join section.pending p on p.shard = w.shard and p.endpoint_id = w.endpoint_id and p.message_id = w.message_id
    where p.app_id = :app_id
    order by p.message_id, p.endpoint_id
    for update of p skip locked
),
free_retry as materialized (
    select r.endpoint_id, r.message_id from wanted w
    join section.retry r on r.endpoint_id = w.endpoint_id and r.message_id = w.message_id
    where r.app_id = :app_id and r.manual_at is null
    order by r.message_id, r.endpoint_id
    for update of r skip locked
),
-- include: resend_queued
;

-- part: resend_reopened
reopened as (
    select section.reopen(:endpoint_id, array(select message_id from over), :first, :last)
),
entered as (
    insert into section.retry (
        endpoint_id, message_id, app_id, shard, seq, state, failures, attempts, due_at, manual_at, status_code, error_code
    )
    select o.endpoint_id, o.message_id, o.app_id, :shard::smallint,
           case when :fifo::boolean then nextval('section.acceptance') end,
           o.state, o.failures, o.number, :due_at::timestamptz, :now, o.status_code, o.error_code
    from over o
    order by o.message_id
    on conflict do nothing
    returning 1
)
select (select count(*) from entered) + 0 * (select count(*) from reopened)

-- name: resend_over$
-- Ask for one manual attempt of deliveries to one endpoint that are over, of messages from `:first` to `:last`.
with over as materialized (
    select a.* from unnest(:message_ids::uuid[]) as wanted (message_id)
    cross join lateral (
        select * from section.attempt
        where endpoint_id = :endpoint_id and message_id = wanted.message_id and final and app_id = :app_id
          and message_id >= :first and message_id <= :last
        offset 0
        for update
    ) as a
    order by a.message_id
),
-- include: resend_reopened
;

-- name: resend_recover$
-- Ask for one manual attempt of each exhausted or canceled delivery of a slice that can still be sent. What another
-- transaction holds is being recovered or resent already.
with over as materialized (
    select a.* from section.attempt a
    join section.message m on m.app_id = a.app_id and m.id = a.message_id
    where a.app_id = :app_id and a.endpoint_id = :endpoint_id and a.final and a.state in (2, 4)
      and a.message_id >= :first and a.message_id <= :last
      and m.id >= :first and m.id <= :last
      and
      -- include: kept
    order by a.message_id
    for update of a skip locked
),
-- include: resend_reopened
;

-- name: resend_new!
-- Ask for one manual attempt of a message that the endpoint never got: a delivery that is over but for this attempt.
-- One that somebody else queued meanwhile gets the manual attempt.
insert into section.retry as r (endpoint_id, message_id, app_id, shard, seq, state, due_at, manual_at)
values (
    :endpoint_id, :message_id, :app_id, :shard, case when :fifo::boolean then nextval('section.acceptance') end, 2,
    :due_at::timestamptz, :now
)
on conflict (endpoint_id, message_id) do update
set state = case when r.state = 1 and r.due_at is not null and excluded.due_at is null then 4 else r.state end,
    resume_at = case
        when excluded.due_at is null then null
        when r.state = 1 and r.manual_at is null then r.due_at
        else r.resume_at end,
    due_at = excluded.due_at, manual_at = excluded.manual_at;

-- name: resend_missing$
-- Queue messages for an endpoint that never got them, in the order given. Without a due time they wait until it is
-- enabled.
with entered as (
    insert into section.retry (endpoint_id, message_id, app_id, shard, seq, state, due_at)
    select :endpoint_id, message_id, :app_id, :shard, case when :fifo::boolean then nextval('section.acceptance') end, 1,
           :due_at::timestamptz
    from unnest(:message_ids::uuid[]) with ordinality as wanted (message_id, place)
    where not exists (
        select from section.pending p
        where p.shard = :shard and p.endpoint_id = :endpoint_id and p.message_id = wanted.message_id
    )
    and not exists (
        select from section.attempt a
        where a.endpoint_id = :endpoint_id and a.message_id = wanted.message_id and a.final
          and a.message_id >= :first and a.message_id <= :last
        offset 0
    )
    order by place
    on conflict (endpoint_id, message_id) do nothing
    returning 1
)
select count(*) from entered;
