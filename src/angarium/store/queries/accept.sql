-- name: accept
-- Store a batch of messages with their deliveries: one statement, one commit. Deliveries that are due go to `pending`.
-- Those with a later time, and those of listeners, go to `retry`. A message with too many deliveries for the limit
-- gets a row in `fan_out` instead, and all its deliveries are written later.
-- An item is left out if its application is unknown, its event id is taken, its idempotency key was used before, or the
-- application has reached its limit of messages. `stored` is null for the last, which changes nothing for duplicates.
-- The unique indexes decide between concurrent duplicates. Inserts are ordered by key, to prevent deadlocks.
with item as materialized (
    -- a column of nulls is passed as an empty array, which unnest pads; a null `due_at` means now
    select id, org_id, app_ref, app_uid, event_type, event_id,
           string_to_array(patterns, ' ') as patterns,
           string_to_array(channels, ' ') as channels, string_to_array(tags, ' ') as tags,
           expires_at, key, endpoint_id, coalesce(due_at, :now::timestamptz) as due_at, trace, place
    from unnest(
        :ids::uuid[], :org_ids::text[], :app_ids::uuid[], :app_uids::text[], :event_types::text[],
        :patterns::text[], :event_ids::text[], :channels::text[], :tags::text[],
        :expires::timestamptz[], :keys::bytea[], :endpoint_ids::uuid[], :due::timestamptz[], :traces::bytea[]
    ) with ordinality as item (
        id, org_id, app_ref, app_uid, event_type,
        patterns, event_id, channels, tags,
        expires_at, key, endpoint_id, due_at, trace, place
    )
),
owned as materialized (
    select item.*, application.id as app_id, item.endpoint_id is null and application.refused_until > :now as over
    from item
    cross join lateral (
        -- `offset 0`: look it up by id, never scan all applications of the organization
        select id, refused_until from (select * from section.application where id = item.app_ref offset 0) a
        where a.org_id = item.org_id and a.deleted_at is null
        union all
        select id, refused_until from section.application a
        where a.uid = item.app_uid and a.org_id = item.org_id and a.deleted_at is null
    ) as application
),
fresh as materialized (
    select * from owned
    where over is not true and (key is null or not exists (select from section.idempotency i where i.key = owned.key))
),
named as (
    insert into section.event_id (app_id, event_id, message_id)
    select app_id, event_id, id from fresh where event_id is not null order by app_id, event_id
    on conflict do nothing
    returning message_id
),
claimed as (
    insert into section.idempotency (key, message_id, app_id, expires_at)
    select key, id, app_id, :now::timestamptz + interval '12 hours'
    from fresh
    where key is not null and (event_id is null or id in (select message_id from named))
    order by key
    on conflict do nothing
    returning message_id
),
accepted as materialized (
    select *, nextval('section.acceptance') as seq from (
        select * from fresh
        where (event_id is null or id in (select message_id from named))
          and (key is null or id in (select message_id from claimed))
        order by id
        offset 0
    ) as fresh
),
stored as (
    insert into section.message (app_id, id, expires_at, event_id, event_type, channels, tags, endpoint_id, trace)
    select app_id, id, expires_at, event_id, event_type, channels, tags, endpoint_id, trace
    from accepted
),
counted as (
    -- tests to one endpoint are not counted
    insert into section.usage_entry (app_id, month, messages)
    select app_id, date_trunc('month', :now::timestamptz, 'UTC'), count(*) from accepted
    where endpoint_id is null
    group by app_id
),
kept as (
    -- separate from the items, which are copied from step to step
    insert into section.payload (message_id, expires_at, body, content_type)
    select id, expires_at, body, content_type
    from unnest(:ids::uuid[], :payloads::bytea[], :content_types::text[]) as sent (id, body, content_type)
    join accepted using (id)
),
match as materialized (
    -- For one message after the other: the endpoints that get it, then a row without an endpoint, which says that all
    -- were read. Either limit ends the walk, so its cost does not depend on the number of endpoints.
    select * from (
        select m.app_id, m.id as message_id, m.place, m.seq, m.due_at, e.*
        from (select * from accepted order by place offset 0) as m
        cross join lateral (
            (
                select e.id as endpoint_id, e.shard, e.fifo, e.revision,
                    -- include: wanted
                from section.endpoint e
                where e.living_app_id = m.app_id
                  -- include: asked_for
                order by e.id
            )
            union all
            select null, null, false, null, true
        ) as e
        limit :looks
    ) as looked
    where wanted
    limit :room
),
reached as materialized (
    select coalesce(max(place), 0) as place from match where endpoint_id is null
),
behind as materialized (
    -- a first-in-first-out lane gets nothing until the deliveries of earlier messages are written
    select app_id from match
    where fifo and (
        exists (select from section.fan_out where app_id = match.app_id offset 0)
        or exists (select from accepted where app_id = match.app_id and place > (select place from reached))
    )
),
owed as materialized (
    select * from match
    where endpoint_id is not null and place <= (select place from reached)
      and app_id not in (select app_id from behind)
),
due as (
    insert into section.pending (shard, endpoint_id, message_id, app_id, due_at, seq)
    select shard, endpoint_id, message_id, app_id, due_at, case when fifo then seq end
    from owed
    where due_at <= :now::timestamptz and shard < 64
),
later as (
    insert into section.retry (endpoint_id, message_id, app_id, shard, state, due_at, scheduled, seq)
    select endpoint_id, message_id, app_id, shard, 1, due_at, due_at > :now::timestamptz, case when fifo then seq end
    from owed
    where due_at > :now::timestamptz or shard = 64
),
late as (
    insert into section.fan_out (message_id, app_id, seq, due_at, scheduled)
    select id, app_id, seq, due_at, due_at > :now::timestamptz from accepted
    where place > (select place from reached) or app_id in (select app_id from behind)
    returning message_id
)
select item.id, owned.app_id,
       case
           when owned.over and not exists (select from section.idempotency i where i.key = owned.key)
                and not exists (select from section.event_id e where e.app_id = owned.app_id and e.event_id = owned.event_id)
           then null
           else accepted.id is not null end as stored,
       false as late,
       owed.endpoint_id, owed.shard, owed.fifo, owed.revision, case when owed.fifo then owed.seq end as seq
from item
left join owned on owned.id = item.id
left join accepted on accepted.id = item.id
left join owed on owed.message_id = item.id
union all
-- at the end, the messages above whose deliveries are written later
select message_id, null, true, true, null, null, null, null, null from late;

-- name: accepted_before
-- The messages of idempotency keys that were used before.
with used as materialized (
    select key, app_id, message_id from section.idempotency where key = any(:keys::bytea[])
)
select used.key, m.app_id, m.id, m.event_id, m.event_type, m.body as payload, m.channels, m.tags, m.expires_at
from section.content(array(select app_id from used), array(select message_id from used), :now::timestamptz) as m
join used on used.app_id = m.app_id and used.message_id = m.id;
