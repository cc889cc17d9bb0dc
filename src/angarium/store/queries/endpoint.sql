-- name: endpoint_find^
-- An endpoint that is not deleted, by its id or uid.
select * from section.endpoint
where living_app_id = :app_id and (id = :id or uid = :uid);

-- name: endpoint_lock^
-- The same, locked for an update: the second of two concurrent updates sees the result of the first.
select * from section.endpoint
where living_app_id = :app_id and (id = :id or uid = :uid)
for update;

-- name: endpoint_insert^
-- Store a new endpoint; no row if the uid is taken.
insert into section.endpoint (
    app_id, id, org_id, uid, url, name, description, version, rate_limit, event_types, channels, metadata,
    headers, keys, fifo, shard, disabled_at, disabled_reason, created_at, updated_at
)
values (
    :app_id, :id, :org_id, :uid, :url, :name, :description, :version, :rate_limit, :event_types, :channels,
    :metadata, :headers, :keys, :fifo, :shard, :disabled_at, :disabled_reason, :created_at, :updated_at
)
on conflict (living_app_id, uid) where living_app_id is not null do nothing
returning *;

-- name: endpoint_count$
-- The number of endpoints of an application, counted up to a limit.
select count(*) from (select from section.endpoint where living_app_id = :app_id limit :limit) as counted;

-- name: endpoint_update^
-- Replace everything that can change, as a new revision. A replaced URL is kept for its attempts.
with former as (
    insert into section.former_url (endpoint_id, revision, url, replaced_at)
    select id, revision, url, :updated_at from section.endpoint
    where app_id = :app_id and id = :id and deleted_at is null and url <> :url
    for update
    returning 1
)
update section.endpoint
set
    uid = :uid, url = :url, name = :name, description = :description, version = :version, rate_limit = :rate_limit,
    event_types = :event_types, channels = :channels, metadata = :metadata, headers = :headers, keys = :keys,
    fifo = :fifo, disabled_at = :disabled_at, disabled_reason = :disabled_reason, updated_at = :updated_at,
    revision = revision + 1
where app_id = :app_id and id = :id and deleted_at is null
  and (select count(*) from former) >= 0  -- forces `former` to read the endpoint before this update
returning *;

-- name: endpoint_delete!
-- Mark an endpoint as deleted, as a new revision; its uid can be used again. Its listener is removed.
with unheard as (
    delete from section.listener where app_id = :app_id and endpoint_id = :id
)
update section.endpoint set deleted_at = :now, updated_at = :now, revision = revision + 1
where app_id = :app_id and id = :id and deleted_at is null;

-- name: endpoint_notify!
-- Notify the dispatcher of the endpoint that it has changed, when the transaction commits.
select pg_notify('angarium', 'e:' || replace(cast(cast(:id as uuid) as text), '-', ''));

-- name: endpoint_touch_all
-- A new revision for the endpoints of an application, or only for those that use its rate limit.
update section.endpoint set revision = revision + 1
where living_app_id = :app_id and (not :only_inheriting or rate_limit is null)
returning id;

-- name: endpoint_notify_many!
-- The same as endpoint_notify for several.
select pg_notify('angarium', 'e:' || replace(cast(changed as text), '-', ''))
from unnest(cast(:ids as uuid [])) as changed;

-- walk: endpoint_list
-- A page between two ids, in order of creation.
select * from section.endpoint
where living_app_id = :app_id and id > :low and id < :high
order by id desc limit :limit;

-- name: endpoint_reset_health!
-- Reset the endpoint's health: a new generation starts. Later completions of an older generation are ignored.
with renewed as (
    update section.endpoint set health_generation = health_generation + 1 where app_id = :app_id and id = :id
)
delete from section.endpoint_health where app_id = :app_id and endpoint_id = :id;

-- name: endpoint_notify_health_reset!
-- Notify the dispatcher of the endpoint that its health is reset, when the transaction commits.
select pg_notify('angarium', 'f:' || replace(cast(cast(:id as uuid) as text), '-', ''));

-- name: endpoint_stats^
-- The number of attempts in a range of ids by result, and of deliveries that are pending or canceled.
select made.success, made.fail, fresh.number + again.pending as pending, again.sending, again.canceled + undelivered.canceled as canceled
from (
    select count(*) filter (where status = 0) as success, count(*) filter (where status = 2) as fail
    from section.attempt
    where app_id = :app_id and endpoint_id = :id and status is not null and id between :lowest and :highest
) made,
(
    select count(*) as number
    from section.pending
    where shard = :shard and endpoint_id = :id and app_id = :app_id and message_id between :lowest and :highest
) fresh,
(
    select count(*) filter (where state = 1 and failures = 0) as pending,
           count(*) filter (where state = 1 and failures > 0) as sending,
           count(*) filter (where state = 4) as canceled
    from section.retry
    where endpoint_id = :id and app_id = :app_id and message_id between :lowest and :highest
) again,
(
    select count(*) filter (where state = 4) as canceled
    from section.attempt
    where app_id = :app_id and endpoint_id = :id and final and (state <> 0 or error_code is not null)
      and message_id between :lowest and :highest
) undelivered;
