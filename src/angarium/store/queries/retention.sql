-- Expired data is deleted, a slice at a time (store/retention.py). Each statement walks along an index, oldest
-- first, passes over rows that others hold, and gives how many rows went. Rows are deleted by their place (`ctid`), so
-- no plan reads the whole table.

-- name: end_fan_out$
-- Messages before a message whose deliveries are not all written.
with gone as (
    delete from fan_out where ctid = any(array(
        select ctid from fan_out where message_id < :before order by message_id limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_event_id$
-- The operator's own ids of messages before a message.
with gone as (
    delete from event_id where ctid = any(array(
        select ctid from event_id where message_id < :before order by message_id limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_idempotency$
-- Keys that have expired.
with gone as (
    delete from idempotency where ctid = any(array(
        select ctid from idempotency where expires_at <= :before order by expires_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_background_task$
-- Tasks that were over before a time.
with gone as (
    delete from background_task where ctid = any(array(
        select ctid from background_task where status <> 'running' and updated_at < :before order by updated_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_audit$
-- Records before an id. No other statement takes a record away.
with gone as (
    delete from audit where ctid = any(array(
        select ctid from audit where id < :before order by id limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_attempt_hour$
-- Counts of hours before a time.
with gone as (
    delete from attempt_hour where ctid = any(array(
        select ctid from attempt_hour where hour < :before order by hour limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_revoked_token$
-- Revoked tokens that have expired by themselves.
with gone as (
    delete from revoked_token where ctid = any(array(
        select ctid from revoked_token where expires_at <= :before order by expires_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_organization_token$
-- Known tokens that have expired.
with gone as (
    delete from organization_token where ctid = any(array(
        select ctid from organization_token where expires_at <= :before order by expires_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_token_cutoff$
-- Cutoffs that concern tokens issued before a time only.
with gone as (
    delete from token_cutoff where ctid = any(array(
        select ctid from token_cutoff where issued_until < :before order by issued_until limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_api_key$
-- Keys that were revoked before a time.
with gone as (
    delete from api_key where ctid = any(array(
        select ctid from api_key where revoked_at < :before order by revoked_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_play_inbox$
-- Inboxes that nobody used for long, with what is in them.
with gone as (
    delete from play_inbox where ctid = any(array(
        select ctid from play_inbox where expires_at <= :before order by expires_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_play_request$
-- Requests to inboxes before an id.
with gone as (
    delete from play_request where ctid = any(array(
        select ctid from play_request where id < :before order by id limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_fault$
-- Faults of processes that have not noted them since a time, with the lanes that they held.
with gone as (
    delete from fault where ctid = any(array(
        select ctid from fault where noted_at < :before order by noted_at limit :limit for update skip locked
    ))
    returning 1
)
select count(*) from gone;

-- name: end_endpoint$
-- Endpoints that were deleted before a time, or whose application was, with their health and listener.
with old as materialized (
    (select app_id, id from endpoint where deleted_at < :before order by deleted_at limit :limit)
    union
    (
        select e.app_id, e.id
        from application a
        cross join lateral (select app_id, id from endpoint where app_id = a.id limit :limit) as e
        where a.deleted_at < :before
        limit :limit
    )
),
unhealthy as (
    delete from endpoint_health where ctid = any(array(
        select found.ctid from old cross join lateral (
            select ctid from endpoint_health where app_id = old.app_id and endpoint_id = old.id offset 0
        ) as found
    ))
),
unheard as (
    delete from listener where ctid = any(array(
        select found.ctid from old cross join lateral (
            select ctid from listener where app_id = old.app_id and endpoint_id = old.id offset 0
        ) as found
    ))
),
gone as (
    delete from endpoint where ctid = any(array(
        select found.ctid from old cross join lateral (
            select ctid from endpoint where app_id = old.app_id and id = old.id offset 0
        ) as found
    ))
    returning 1
)
select count(*) from gone;

-- name: end_application$
-- Applications that were deleted before a time and have no endpoint left, with their keys, cutoffs and counters.
with old as materialized (
    select ctid as place, id, org_id from application a
    where deleted_at < :before and not exists (select from endpoint e where e.app_id = a.id offset 0)
    order by deleted_at
    limit :limit
),
keys as (
    delete from api_key where ctid = any(array(
        select found.ctid from old cross join lateral (
            select ctid from api_key where org_id = old.org_id and app_id = old.id offset 0
        ) as found
    ))
),
cutoffs as (
    delete from token_cutoff where ctid = any(array(
        select found.ctid from old cross join lateral (
            select ctid from token_cutoff where app_id = old.id offset 0
        ) as found
    ))
),
counters as (
    delete from sandbox_counter where ctid = any(array(
        select found.ctid from old cross join lateral (
            select ctid from sandbox_counter where app_id = old.id offset 0
        ) as found
    ))
),
gone as (
    delete from application where ctid = any(array(select place from old)) returning 1
)
select count(*) from gone;
