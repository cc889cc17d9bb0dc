-- Delete expired rows in slices (store/retention.py). Each statement walks along an index, oldest first, skips locked
-- rows, and returns how many rows it deleted. Rows are deleted by `ctid`, so no plan reads the whole table.

-- name: end_fan_out$
-- Messages before a message in `fan_out`.
with gone as (
    delete from section.fan_out where ctid = any(array(
        select ctid from section.fan_out where message_id < :before order by message_id limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_event_id$
-- Operators' own ids of messages before a message.
with gone as (
    delete from section.event_id where ctid = any(array(
        select ctid from section.event_id where message_id < :before order by message_id limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_idempotency$
-- Idempotency keys of messages that have expired.
with gone as (
    delete from section.idempotency where ctid = any(array(
        select ctid from section.idempotency where expires_at <= :before order by expires_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_idempotency_control$
-- Other idempotency keys that have expired.
with gone as (
    delete from control.idempotency where ctid = any(array(
        select ctid from control.idempotency where expires_at <= :before order by expires_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_background_task$
-- Tasks that ended before a time.
with gone as (
    delete from section.background_task where ctid = any(array(
        select ctid from section.background_task where status <> 'running' and updated_at < :before order by updated_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_audit$
-- Records before an id. No other statement deletes records.
with gone as (
    delete from section.audit where ctid = any(array(
        select ctid from section.audit where id < :before order by id limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_audit_control$
-- The same in the control schema.
with gone as (
    delete from control.audit where ctid = any(array(
        select ctid from control.audit where id < :before order by id limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_attempt_hour$
-- Counts of hours before a time.
with gone as (
    delete from section.attempt_hour where ctid = any(array(
        select ctid from section.attempt_hour where hour < :before order by hour limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_revoked_token$
-- Revoked tokens that have expired.
with gone as (
    delete from control.revoked_token where ctid = any(array(
        select ctid from control.revoked_token where expires_at <= :before order by expires_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_organization_token$
-- Used tokens that have expired.
with gone as (
    delete from control.organization_token where ctid = any(array(
        select ctid from control.organization_token where expires_at <= :before order by expires_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_token_cutoff$
-- Cutoffs that concern only tokens issued before a time.
with gone as (
    delete from control.token_cutoff where ctid = any(array(
        select ctid from control.token_cutoff where issued_until < :before order by issued_until limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_api_key$
-- Keys that were revoked before a time.
with gone as (
    delete from control.api_key where ctid = any(array(
        select ctid from control.api_key where revoked_at < :before order by revoked_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_play_inbox$
-- Inboxes that have expired, with their requests.
with gone as (
    delete from section.play_inbox where ctid = any(array(
        select ctid from section.play_inbox where expires_at <= :before order by expires_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_play_request$
-- Requests to inboxes before an id.
with gone as (
    delete from section.play_request where ctid = any(array(
        select ctid from section.play_request where id < :before order by id limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_fault$
-- Faults that their processes have not written since a time, with the lanes that waited for them.
with gone as (
    delete from section.fault where ctid = any(array(
        select ctid from section.fault where noted_at < :before order by noted_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_former_url$
-- URLs that were replaced before a time.
with gone as (
    delete from section.former_url where ctid = any(array(
        select ctid from section.former_url where replaced_at < :before order by replaced_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

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
