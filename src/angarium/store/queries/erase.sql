-- Erase an application or a message (store/erase.py). Each statement deletes a bounded number of rows and returns how
-- many. It waits for rows that are locked, so what an attempt in flight records is committed before it looks on.

-- name: erase_find^
-- An application by its id, deleted or not, or by its uid, locked for an update.
select * from section.application
where org_id = :org_id and (id = :id or (uid = :uid and deleted_at is null))
for update;

-- name: erase_mark!
-- From now on nothing of the application is accepted, sent or recorded.
update section.application
set erasing_at = :now::timestamptz, deleted_at = coalesce(deleted_at, :now::timestamptz), updated_at = :now::timestamptz
where id = :id and org_id = :org_id;

-- name: erase_mark_endpoints
-- The same for its endpoints, as new revisions.
update section.endpoint set deleted_at = :now, updated_at = :now, revision = revision + 1
where living_app_id = :app_id
returning id;

-- name: erase_writers$
-- Transactions that write to any table now. An insert locks its table before it takes the snapshot in which it looks
-- for the application. So when these have ended, no statement is left that saw the application before it was marked.
select coalesce(array_agg(distinct l.virtualtransaction), '{}')
from pg_locks l
join pg_class c on c.oid = l.relation and c.relkind in ('r', 'p')
where l.locktype = 'relation' and l.mode = 'RowExclusiveLock' and l.pid <> pg_backend_pid()
  and l.database = (select oid from pg_database where datname = current_database());

-- name: erase_writing$
-- Whether any of these transactions is still running.
select exists (select from pg_locks where virtualtransaction = any(:writers::text[]));

-- part: erase_rows
-- rows of a table that is not partitioned
with gone as (
    delete from {table} where ctid = any(array(select ctid from {table} where {where} limit :limit))
    returning 1
)
select count(*) from gone;

-- part: erase_rows_of_endpoints
-- rows `r` of a table by endpoint `e`, deleted or not
with gone as (
    delete from {table} where ctid = any(array(
        select r.ctid from section.endpoint e
        cross join lateral (select ctid from {table} where {where} limit :limit) as r
        where e.app_id = :app_id
        limit :limit
    ))
    returning 1
)
select count(*) from gone;

-- part: left_rows
select count(*) from {table} where {where};

-- part: left_rows_of_endpoints
select count(*) from section.endpoint e join {table} r on {where} where e.app_id = :app_id;

-- name: erase_fan_out$
-- include: erase_rows table=section.fan_out where=app_id = :app_id

-- name: left_fan_out$
-- include: left_rows table=section.fan_out where=app_id = :app_id

-- name: erase_pending$
-- include: erase_rows_of_endpoints table=section.pending where=shard = e.shard and endpoint_id = e.id

-- name: left_pending$
-- include: left_rows table=section.pending where=app_id = :app_id

-- name: erase_retry$
-- include: erase_rows_of_endpoints table=section.retry where=endpoint_id = e.id

-- name: left_retry$
-- include: left_rows table=section.retry where=app_id = :app_id

-- name: erase_event_id$
-- include: erase_rows table=section.event_id where=app_id = :app_id

-- name: left_event_id$
-- include: left_rows table=section.event_id where=app_id = :app_id

-- name: erase_attempt_hour$
-- include: erase_rows table=section.attempt_hour where=app_id = :app_id

-- name: left_attempt_hour$
-- include: left_rows table=section.attempt_hour where=app_id = :app_id

-- part: erase_usage_rows
-- months of the application; the sums of the organization keep them, as application 0
with gone as (
    delete from {table} where ctid = any(array(select ctid from {table} where app_id = :app_id limit :limit))
    returning *
),
kept as (
    insert into section.usage as u (org_id, month, app_id, messages, attempts, failed, delivered, exhausted, canceled)
    select :org_id, month, '00000000-0000-0000-0000-000000000000', sum(messages), sum(attempts), sum(failed),
           sum(delivered), sum(exhausted), sum(canceled)
    from gone
    group by month
    order by month
    on conflict (org_id, month, app_id) do update
        set messages = u.messages + excluded.messages, attempts = u.attempts + excluded.attempts,
            failed = u.failed + excluded.failed, delivered = u.delivered + excluded.delivered,
            exhausted = u.exhausted + excluded.exhausted, canceled = u.canceled + excluded.canceled
)
select count(*) from gone;

-- name: erase_usage_entry$
-- include: erase_usage_rows table=section.usage_entry

-- name: left_usage_entry$
-- include: left_rows table=section.usage_entry where=app_id = :app_id

-- name: erase_usage$
-- include: erase_usage_rows table=section.usage

-- name: left_usage$
-- include: left_rows table=section.usage where=app_id = :app_id

-- name: erase_background_task$
-- include: erase_rows table=section.background_task where=app_id = :app_id

-- name: left_background_task$
-- include: left_rows table=section.background_task where=app_id = :app_id

-- name: erase_contact$
-- include: erase_rows table=section.contact where=app_id = :app_id

-- name: left_contact$
-- include: left_rows table=section.contact where=app_id = :app_id

-- name: erase_notice$
-- include: erase_rows table=section.notice where=app_id = :app_id

-- name: left_notice$
-- include: left_rows table=section.notice where=app_id = :app_id

-- name: erase_mail$
-- include: erase_rows table=section.mail where=app_id = :app_id

-- name: left_mail$
-- include: left_rows table=section.mail where=app_id = :app_id

-- name: erase_sandbox_counter$
-- include: erase_rows table=section.sandbox_counter where=app_id = :app_id

-- name: left_sandbox_counter$
-- include: left_rows table=section.sandbox_counter where=app_id = :app_id

-- name: erase_play_request$
-- include: erase_rows table=section.play_request where=inbox_id in (select id from section.play_inbox where app_id = :app_id)

-- name: left_play_request$
-- include: left_rows table=section.play_request where=inbox_id in (select id from section.play_inbox where app_id = :app_id)

-- name: erase_play_inbox$
-- include: erase_rows table=section.play_inbox where=app_id = :app_id

-- name: left_play_inbox$
-- include: left_rows table=section.play_inbox where=app_id = :app_id

-- name: erase_listener$
-- include: erase_rows table=section.listener where=app_id = :app_id

-- name: left_listener$
-- include: left_rows table=section.listener where=app_id = :app_id

-- name: erase_endpoint_health$
-- include: erase_rows table=section.endpoint_health where=app_id = :app_id

-- name: left_endpoint_health$
-- include: left_rows table=section.endpoint_health where=app_id = :app_id

-- name: erase_held_lane$
-- include: erase_rows_of_endpoints table=section.held_lane where=endpoint_id = e.id

-- name: left_held_lane$
-- include: left_rows_of_endpoints table=section.held_lane where=r.endpoint_id = e.id

-- name: erase_former_url$
-- include: erase_rows_of_endpoints table=section.former_url where=endpoint_id = e.id

-- name: left_former_url$
-- include: left_rows_of_endpoints table=section.former_url where=r.endpoint_id = e.id

-- name: erase_placement$
-- include: erase_rows table=control.placement where=app_id = :app_id

-- name: left_placement$
-- include: left_rows table=control.placement where=app_id = :app_id

-- name: erase_token_cutoff$
-- include: erase_rows table=control.token_cutoff where=app_id = :app_id

-- name: left_token_cutoff$
-- include: left_rows table=control.token_cutoff where=app_id = :app_id

-- name: erase_api_key$
-- include: erase_rows table=control.api_key where=org_id = :org_id and app_id = :app_id

-- name: left_api_key$
-- include: left_rows table=control.api_key where=app_id = :app_id

-- name: erase_idempotency_control$
-- Stored responses about the application.
-- include: erase_rows table=control.idempotency where=subject = any(:subjects::bytea[])

-- name: left_idempotency_control$
-- include: left_rows table=control.idempotency where=subject = any(:subjects::bytea[])

-- part: audit_details
-- records of the audit log that still say more than what was done by whom and when, and are not about an erasure
app_id = :app_id and (address is not null or before is not null or after is not null)
and after is distinct from '{"erased": true}' and action <> all(array[
    'application.erase.begun', 'application.erased', 'message.erase.begun', 'message.erased'
])

-- part: erase_audit_details
with changed as (
    update {table} set address = null, before = null, after = '{"erased": true}'
    where ctid = any(array(
        select ctid from {table} where
            -- include: audit_details
        limit :limit
    ))
    returning 1
)
select count(*) from changed;

-- name: erase_audit$
-- Records stay; the names, URLs and addresses in them go.
-- include: erase_audit_details table=section.audit

-- name: left_audit$
select count(*) from section.audit where
-- include: audit_details
;

-- name: erase_audit_control$
-- include: erase_audit_details table=control.audit

-- name: left_audit_control$
select count(*) from control.audit where
-- include: audit_details
;

-- name: erase_message_slice
-- The next messages of an application.
select id, expires_at from section.message where app_id = :app_id order by id limit :limit;

-- name: erase_attempt$
-- Attempts of messages from `:first` to `:last`, whose partitions alone are read.
with gone as (
    delete from section.attempt a
    using (
        select message_id, id from section.attempt
        where message_id = any(:ids::uuid[]) and message_id >= :first and message_id <= :last
        limit :limit
    ) as found
    where a.message_id = found.message_id and a.id = found.id and a.message_id >= :first and a.message_id <= :last
    returning 1
)
select count(*) from gone;

-- name: erase_payload$
-- Payloads of messages, which expire from `:low` to `:high`.
with gone as (
    delete from section.payload p
    using unnest(:ids::uuid[], :expiries::timestamptz[]) as m (id, expires_at)
    where p.message_id = m.id and p.expires_at = m.expires_at and p.expires_at >= :low and p.expires_at <= :high
    returning 1
)
select count(*) from gone;

-- name: erase_message$
with gone as (
    delete from section.message
    where app_id = :app_id and id = any(:ids::uuid[]) and id >= :first and id <= :last
    returning 1
)
select count(*) from gone;

-- name: left_message$
select count(*) from section.message where app_id = :app_id;

-- name: erase_attempt_walk^
-- Read the next attempts of all applications, and delete those of this one whose message is not there any more. No index
-- finds them. Returns how many were deleted, and where to continue; null at the end.
with seen as materialized (
    select message_id, id, app_id from section.attempt
    where (message_id, id) > (:message_id::uuid, :id::uuid) and message_id >= :message_id
    order by message_id, id
    limit :rows
),
stray as materialized (
    select message_id, id from seen where app_id = :app_id
),
gone as (
    delete from section.attempt a using stray
    where a.message_id = stray.message_id and a.id = stray.id
      and a.message_id >= (select message_id from stray order by message_id limit 1)
    returning 1
)
select (select count(*) from gone) as gone, last.message_id, last.id
from (select count(*) as number from seen) as read
left join lateral (
    select message_id, id from seen order by message_id desc, id desc limit 1
) as last on read.number = :rows;

-- name: erase_idempotency_walk^
-- The same for idempotency keys of messages.
with seen as materialized (
    select key, app_id from section.idempotency where key > :after::bytea order by key limit :rows
),
gone as (
    delete from section.idempotency where key = any(array(select key from seen where app_id = :app_id)) returning 1
)
select (select count(*) from gone) as gone,
       case when (select count(*) from seen) = :rows then (select key from seen order by key desc limit 1) end as key;

-- name: erase_endpoint$
-- Endpoints, when nothing refers to them any more.
-- include: erase_rows table=section.endpoint where=app_id = :app_id

-- name: left_endpoint$
-- include: left_rows table=section.endpoint where=app_id = :app_id

-- name: erase_application$
with gone as (
    delete from section.application where id = :app_id and org_id = :org_id returning 1
)
select count(*) from gone;


-- One message

-- name: erase_message_mark^
-- Clear what its sender said about a message. From now on, nothing that a receiver says about it is recorded.
update section.message set erased_at = :now, event_id = null, channels = null, tags = null
where app_id = :app_id and id = :id
returning expires_at;

-- name: erase_message_event_id!
delete from section.event_id where app_id = :app_id and event_id in (
    select event_id from section.message where app_id = :app_id and id = :id
);

-- name: erase_responses$
-- Clear what receivers said about a message, and the headers that were sent.
with cleared as (
    update section.attempt a set response = null, exchange = null, error = null
    from (
        select id from section.attempt
        where message_id = :id and app_id = :app_id
          and (response is not null or exchange is not null or error is not null)
        limit :limit
    ) as found
    where a.message_id = :id and a.id = found.id
    returning 1
)
select count(*) from cleared;

-- name: left_responses$
select count(*) from section.attempt
where message_id = :id and app_id = :app_id and (response is not null or exchange is not null or error is not null);
