-- name: restore_newest$
-- Whether an application has a message that was accepted after a time. Only partitions from that day on are read.
select exists (
    select from section.application a
    where exists (select from section.message m where m.app_id = a.id and m.id > :after)
);

-- name: restore_counts
-- The deliveries that are pending for each application: all, those due now, and those of them that became due after a time.
select a.id, a.org_id, a.uid, a.name, count(*) as pending, count(*) filter (where q.due_at <= :now) as due,
       count(*) filter (where q.due_at <= :now and q.due_at > :at) as since
from (
    select app_id, due_at from section.pending
    union all
    select app_id, due_at from section.retry
) as q
join section.application a on a.id = q.app_id
group by a.id
order by due desc, pending desc, a.id;

-- name: restore_deliver$
-- Record deliveries that the log proves, if they are pending. An attempt counts if its number is above those that the
-- delivery has, so a line of an earlier attempt proves nothing about a resend. Returns how many were recorded.
with line as materialized (
    select *
    from unnest(
        :endpoint_ids::uuid[], :message_ids::uuid[], :shards::smallint[], :numbers::integer[], :at::timestamptz[],
        :status_codes::smallint[], :durations::integer[], :manual::boolean[]
    ) as line (endpoint_id, message_id, shard, number, at, status_code, duration_ms, manual)
),
pending as (
    delete from section.pending p
    using line l
    where p.shard = l.shard and p.endpoint_id = l.endpoint_id and p.message_id = l.message_id
    returning l.*, p.app_id, 0 as failures
),
retry as (
    delete from section.retry r
    using line l
    where r.endpoint_id = l.endpoint_id and r.message_id = l.message_id and l.number > r.attempts
    returning l.*, r.app_id, r.failures
),
recorded as (
    insert into section.attempt (
        message_id, id, endpoint_id, app_id, number, failures, revision, duration_ms, state, status, status_code,
        manual, final
    )
    select d.message_id, section.new_id(d.at), d.endpoint_id, d.app_id, d.number, d.failures,
           coalesce(
               (select revision from section.endpoint e where e.app_id = d.app_id and e.id = d.endpoint_id), 1
           ),
           d.duration_ms, 0, 0, d.status_code, d.manual, true
    from (select * from pending union all select * from retry) as d
    returning 1
),
counted as (
    insert into section.usage_entry (app_id, month, attempts, delivered)
    select app_id, date_trunc('month', at, 'UTC'), count(*), count(*)
    from (select app_id, at from pending union all select app_id, at from retry) as d
    group by 1, 2
)
select count(*) from recorded;

-- name: restore_audit_exists$
-- Whether a record of a section is there.
select exists (select from section.audit where org_id = :org_id and id = :id);

-- name: restore_audit_exists_control$
-- Whether a record of the control schema is there.
select exists (select from control.audit where org_id = :org_id and id = :id);

-- name: audit_export
-- The audit events of all organizations of a section, from a record on.
select * from section.audit where id > :after order by id limit :limit;

-- name: audit_export_control
-- The same of the control schema.
select * from control.audit where id > :after order by id limit :limit;

-- name: revoked_token_named
-- Revoked tokens by the first bytes of their digest.
select digest, expires_at from control.revoked_token where digest >= :low and digest < :high limit 2;
