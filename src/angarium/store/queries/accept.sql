-- name: accept
-- Store a batch of messages with every delivery that they create: one statement, one commit. What is due goes to
-- `pending`; what was accepted for a later time, and what a listener fetches, goes to `retry`.
-- An item is left out when its application is unknown, its event id is taken, or its idempotency key was
-- used before; the unique indexes decide between concurrent duplicates. Inserts are ordered by key so that
-- two batches cannot wait for each other in a circle.
with item as materialized (
    -- a column of nulls comes as an empty array, which unnest fills up; a null `due_at` is now
    select id, org_id, app_ref, app_uid, event_type, payload, event_id,
           string_to_array(patterns, ' ') as patterns,
           string_to_array(channels, ' ') as channels, string_to_array(tags, ' ') as tags,
           expires_at, key, endpoint_id, content_type, coalesce(due_at, :now::timestamptz) as due_at
    from unnest(
        :ids::uuid[], :org_ids::text[], :app_ids::uuid[], :app_uids::text[], :event_types::text[],
        :patterns::text[], :payloads::bytea[], :event_ids::text[], :channels::text[], :tags::text[],
        :expires::timestamptz[], :keys::bytea[], :endpoint_ids::uuid[], :due::timestamptz[],
        :content_types::text[]
    ) as item (
        id, org_id, app_ref, app_uid, event_type,
        patterns, payload, event_id, channels, tags,
        expires_at, key, endpoint_id, due_at, content_type
    )
),
owned as materialized (
    select item.*, application.id as app_id
    from item
    cross join lateral (
        -- `offset 0`: found by its id, never among all applications of the organization
        select id from (select * from application where id = item.app_ref offset 0) a
        where a.org_id = item.org_id and a.deleted_at is null
        union all
        select id from application a
        where a.uid = item.app_uid and a.org_id = item.org_id and a.deleted_at is null
    ) as application
),
fresh as materialized (
    select * from owned
    where key is null or not exists (select from idempotency i where i.key = owned.key)
),
named as (
    insert into event_id (app_id, event_id, message_id)
    select app_id, event_id, id from fresh where event_id is not null order by app_id, event_id
    on conflict do nothing
    returning message_id
),
claimed as (
    insert into idempotency (key, message_id, app_id, locked_until, expires_at)
    select key, id, app_id, :now::timestamptz, :now::timestamptz + interval '12 hours'
    from fresh
    where key is not null and (event_id is null or id in (select message_id from named))
    order by key
    on conflict do nothing
    returning message_id
),
accepted as materialized (
    select * from fresh
    where (event_id is null or id in (select message_id from named))
      and (key is null or id in (select message_id from claimed))
),
stored as (
    insert into message (app_id, id, event_id, event_type, channels, tags, endpoint_id, content_type, expires_at)
    select app_id, id, event_id, event_type, channels, tags, endpoint_id, content_type, expires_at
    from accepted
),
kept as (
    insert into payload (message_id, expires_at, body) select id, expires_at, payload from accepted
),
match as materialized (
    select accepted.app_id, accepted.id as message_id, accepted.due_at,
           e.id as endpoint_id, e.shard, e.fifo, e.revision
    from accepted
    -- `offset 0` has each item look into its own application; the planner, which expects a hundred items,
    -- would rather read the endpoints of all of them
    cross join lateral (
        select e.id, e.shard, e.fifo, e.revision
        from endpoint e
        where e.app_id = accepted.app_id
          and e.deleted_at is null
          and e.disabled_at is null
          and case when accepted.endpoint_id is null
              then (e.event_types is null or e.event_types && accepted.patterns)
               and (e.channels is null or e.channels && accepted.channels)
              else e.id = accepted.endpoint_id end
        offset 0
    ) as e
),
due as (
    insert into pending (shard, endpoint_id, message_id, app_id, due_at, seq)
    select shard, endpoint_id, message_id, app_id, due_at, case when fifo then nextval('acceptance') end
    from (
        select * from match where due_at <= :now::timestamptz and shard < 64 order by message_id offset 0
    ) as match
),
later as (
    insert into retry (endpoint_id, message_id, app_id, shard, state, due_at, scheduled, seq)
    select endpoint_id, message_id, app_id, shard, 1, due_at, due_at > :now::timestamptz,
           case when fifo then nextval('acceptance') end
    from (
        select * from match where due_at > :now::timestamptz or shard = 64 order by message_id offset 0
    ) as match
)
select item.id, owned.app_id, accepted.id is not null as stored,
       match.endpoint_id, match.shard, match.fifo, match.revision
from item
left join owned on owned.id = item.id
left join accepted on accepted.id = item.id
left join match on match.message_id = item.id;

-- name: accepted_before
-- The messages behind idempotency keys that were used before.
select i.key, m.app_id, m.id, m.event_id, m.event_type, p.body as payload, m.channels, m.tags, m.expires_at
from idempotency i
join message m on m.app_id = i.app_id and m.id = i.message_id
-- include: payload_of
where i.key = any(:keys::bytea[]);
