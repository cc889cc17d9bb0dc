-- name: endpoint_find^
-- One living endpoint by its id or uid.
select * from section.endpoint
where living_app_id = :app_id and (id = :id or uid = :uid);

-- name: endpoint_lock^
-- The same, for a change: the second of two concurrent changes sees the first one's result.
select * from section.endpoint
where living_app_id = :app_id and (id = :id or uid = :uid)
for update;

-- name: endpoint_insert^
-- A new endpoint; nothing when the uid is taken.
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
-- How many living endpoints an application has; counts no further than to the limit.
select count(*) from (select from section.endpoint where living_app_id = :app_id limit :limit) as counted;

-- name: endpoint_update^
-- Replace everything that can change, as a new revision. A URL that is replaced is kept for its attempts.
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
  and (select count(*) from former) >= 0  -- which looks at the endpoint first
returning *;

-- name: endpoint_delete!
-- Mark an endpoint as deleted, as a new revision; its uid can be used again. Nobody listens to it any more.
with unheard as (
    delete from section.listener where app_id = :app_id and endpoint_id = :id
)
update section.endpoint set deleted_at = :now, updated_at = :now, revision = revision + 1
where app_id = :app_id and id = :id and deleted_at is null;

-- name: endpoint_notify!
-- Tell whoever sends for the endpoint that it has changed; arrives with the commit.
select pg_notify('angarium', 'e:' || replace(cast(cast(:id as uuid) as text), '-', ''));

-- name: endpoint_touch_all
-- A new revision for the endpoints of an application, or only those that follow its rate limit.
update section.endpoint set revision = revision + 1
where living_app_id = :app_id and (not :only_inheriting or rate_limit is null)
returning id;

-- name: endpoint_notify_many!
-- The same as endpoint_notify for several.
select pg_notify('angarium', 'e:' || replace(cast(changed as text), '-', ''))
from unnest(cast(:ids as uuid [])) as changed;

-- name: endpoint_list_up
-- A page in order of creation, from after the cursor.
select * from section.endpoint
where living_app_id = :app_id and (cast(:cursor as uuid) is null or id > :cursor)
order by id limit :limit;

-- name: endpoint_list_down
-- A page in reverse order of creation, from before the cursor.
select * from section.endpoint
where living_app_id = :app_id and (cast(:cursor as uuid) is null or id < :cursor)
order by id desc limit :limit;

-- name: endpoint_forgive!
-- Forget the endpoint's failures: a new generation of it begins. What is completed later of an older one is ignored.
with renewed as (
    update section.endpoint set health_generation = health_generation + 1 where app_id = :app_id and id = :id
)
delete from section.endpoint_health where app_id = :app_id and endpoint_id = :id;

-- name: endpoint_notify_forgiven!
-- Tell whoever sends for the endpoint to forget them too; arrives with the commit.
select pg_notify('angarium', 'f:' || replace(cast(cast(:id as uuid) as text), '-', ''));

-- name: endpoint_stats^
-- Attempts made in a span of ids by their result, and deliveries that still wait or were canceled.
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
