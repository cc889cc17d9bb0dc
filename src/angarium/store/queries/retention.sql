-- Delete expired rows in slices (store/retention.py). Each statement walks along an index, oldest first, skips locked
-- rows, and returns how many rows it deleted. Rows are deleted by `ctid`, so no plan reads the whole table.

-- part: end_rows
-- the oldest rows of a table
with gone as (
    delete from {table} where ctid = any(array(
        select ctid from {table} where {where} order by {order} limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_fan_out$
-- Messages before a message in `fan_out`.
-- include: end_rows table=section.fan_out where=message_id < :before order=message_id

-- name: end_event_id$
-- Operators' own ids of messages before a message.
-- include: end_rows table=section.event_id where=message_id < :before order=message_id

-- name: end_idempotency$
-- Idempotency keys of messages that have expired.
-- include: end_rows table=section.idempotency where=expires_at <= :before order=expires_at

-- name: end_idempotency_control$
-- Other idempotency keys that have expired.
-- include: end_rows table=control.idempotency where=expires_at <= :before order=expires_at

-- name: end_background_task$
-- Tasks that ended before a time.
-- include: end_rows table=section.background_task where=status <> 'running' and updated_at < :before order=updated_at

-- name: end_audit$
-- Records before an id. No other statement deletes records.
-- include: end_rows table=section.audit where=id < :before order=id

-- name: end_audit_control$
-- The same in the control schema.
-- include: end_rows table=control.audit where=id < :before order=id

-- name: end_usage$
-- Months that began before a time.
-- include: end_rows table=section.usage where=month < :before order=month

-- name: end_attempt_hour$
-- Counts of hours before a time.
-- include: end_rows table=section.attempt_hour where=hour < :before order=hour

-- name: end_revoked_token$
-- Revoked tokens that have expired.
-- include: end_rows table=control.revoked_token where=expires_at <= :before order=expires_at

-- name: end_organization_token$
-- Used tokens that have expired.
-- include: end_rows table=control.organization_token where=expires_at <= :before order=expires_at

-- name: end_token_cutoff$
-- Cutoffs that concern only tokens issued before a time.
-- include: end_rows table=control.token_cutoff where=issued_until < :before order=issued_until

-- name: end_api_key$
-- Keys that were revoked before a time.
-- include: end_rows table=control.api_key where=revoked_at < :before order=revoked_at

-- name: end_play_inbox$
-- Inboxes that have expired, with their requests.
-- include: end_rows table=section.play_inbox where=expires_at <= :before order=expires_at

-- name: end_play_request$
-- Requests to inboxes before an id.
-- include: end_rows table=section.play_request where=id < :before order=id

-- name: end_fault$
-- Faults that their processes have not written since a time, with the lanes that waited for them.
-- include: end_rows table=section.fault where=noted_at < :before order=noted_at

-- name: end_notice$
-- Notices that were not sent for a long time.
-- include: end_rows table=section.notice where=last_at < :before order=last_at

-- name: end_digest$
-- Windows of recipients that got nothing for a long time.
-- include: end_rows table=section.digest where=next_at < :before order=next_at

-- name: end_mail$
-- Mails that were written before a time.
-- include: end_rows table=section.mail where=created_at < :before order=created_at

-- name: end_former_url$
-- URLs that were replaced before a time.
-- include: end_rows table=section.former_url where=replaced_at < :before order=replaced_at

-- name: end_endpoint$
-- Endpoints that were deleted before a time, or whose application was, with former URLs, health and listener.
with old as materialized (
    (select app_id, id from section.endpoint where deleted_at < :before order by deleted_at limit :limit)
    union
    (
        select e.app_id, e.id
        from section.application a
        cross join lateral (select app_id, id from section.endpoint where app_id = a.id limit :limit) as e
        where a.deleted_at < :before
        limit :limit
    )
),
unhealthy as (
    delete from section.endpoint_health where ctid = any(array(
        select found.ctid from old cross join lateral (
            select ctid from section.endpoint_health where app_id = old.app_id and endpoint_id = old.id offset 0
        ) as found
    ))
),
unknown as (
    delete from section.former_url where ctid = any(array(
        select found.ctid from old cross join lateral (
            select ctid from section.former_url where endpoint_id = old.id offset 0
        ) as found
    ))
),
unheard as (
    delete from section.listener where ctid = any(array(
        select found.ctid from old cross join lateral (
            select ctid from section.listener where app_id = old.app_id and endpoint_id = old.id offset 0
        ) as found
    ))
),
gone as (
    delete from section.endpoint where ctid = any(array(
        select found.ctid from old cross join lateral (
            select ctid from section.endpoint where app_id = old.app_id and id = old.id offset 0
        ) as found
    ))
    returning 1
)
select count(*) from gone;

-- name: application_ended
-- Applications that were deleted before a time and have no endpoint left.
select id, org_id from section.application a
where deleted_at < :before and not exists (select from section.endpoint e where e.app_id = a.id offset 0)
order by deleted_at
limit :limit;

-- name: end_application_control!
-- The rows of applications in the control schema: their keys and cutoffs.
with keys as (
    delete from control.api_key k using unnest(:org_ids::text[], :app_ids::uuid[]) as old (org_id, app_id)
    where k.org_id = old.org_id and k.app_id = old.app_id
)
delete from control.token_cutoff where app_id = any(:app_ids::uuid[]);

-- name: end_application$
-- Applications with their counters.
with counters as (
    delete from section.sandbox_counter where app_id = any(:app_ids::uuid[])
),
gone as (
    delete from section.application where id = any(:app_ids::uuid[]) returning 1
)
select count(*) from gone;
