-- Requests for manual attempts, and deliveries for endpoints that never had one of a message. A delivery that has ended
-- returns to the queue, and its record in the history is not final any more.

-- part: resend_wanted
wanted as materialized (
    select * from unnest(:endpoint_ids::uuid[], :message_ids::uuid[], :shards::smallint[])
        as wanted (endpoint_id, message_id, shard)
)

-- part: resend_queued
-- Without a due time the attempt waits, because its endpoint is disabled; an automatic retry is canceled then.
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
-- Request a manual attempt of a delivery that is queued. An automatic retry continues afterwards at its time. Waits for
-- an attempt that is being recorded.
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
-- The same for many, in order of message. Skips rows that another transaction has locked, because they are being
-- attempted or resent, and those that already have a manual request.
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
-- Request a manual attempt of deliveries to one endpoint that have ended, of messages from `:first` to `:last`.
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
-- Request a manual attempt of each exhausted or canceled delivery of a slice that can still be sent. Skips rows that
-- another transaction has locked, because they are being recovered or resent.
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
-- Request a manual attempt of a message of which the endpoint had no delivery: a delivery that has ended but for this
-- attempt. If another transaction has queued it, that delivery gets the request.
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
-- Queue messages for an endpoint that has no delivery of them, in the given order. Without a due time they wait until
-- it is enabled.
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

-- name: missing_end$
-- the last message of a stretch with a number of messages; null: it reaches the end
select id from section.message
where app_id = :app_id and id > :after and id <= :until
order by id
offset :rows limit 1;

-- name: missing_count$
-- how many messages of a stretch an endpoint matches today but has no delivery of; `offset 0` keeps that a lookup
select count(*) from (
    select id from section.message m
    where app_id = :app_id and id > :after and id <= :until and endpoint_id is null
      and (:names::text[] is null or event_type = any(:names) or event_type ^@ any(:prefixes::text[]))
      and (:channels::text[] is null or channels && :channels)
      and
      -- include: fanned_out
      and
      -- include: kept
    offset 0
) m
where not exists (
    select from section.pending
    where shard = :shard and endpoint_id = :endpoint_id and app_id = :app_id and message_id = m.id
    offset 0
)
and not exists (
    select from section.retry where endpoint_id = :endpoint_id and app_id = :app_id and message_id = m.id offset 0
)
and not exists (
    select from section.attempt
    where endpoint_id = :endpoint_id and app_id = :app_id and message_id = m.id and final
      and message_id > :after and message_id <= :until
    offset 0
);
