-- Deliveries of messages that have too many for the statement that accepts them (store/fan_out.py).

-- name: fan_out_applications
-- The next applications after `:after` that have waiting messages.
with recursive head as (
    (select app_id, 1 as turn from section.fan_out where app_id > :after order by app_id limit 1)
    union all
    select next.*
    from head
    cross join lateral (
        select app_id, head.turn + 1 from section.fan_out where app_id > head.app_id order by app_id limit 1
    ) as next
    where head.turn < :limit
)
select app_id from head;

-- name: fan_out_claim
-- The next messages of an application, locked until the transaction ends; none if another process has them. The process
-- that has locked the first message has the application to itself.
with claimed as materialized (
    select app_id from section.fan_out
    where message_id = (select message_id from section.fan_out where app_id = :app_id order by seq limit 1)
    for update skip locked
),
held as materialized (
    select f.*
    from claimed
    cross join lateral (
        select * from section.fan_out where app_id = claimed.app_id order by seq limit :messages for update
    ) as f
)
select message_id, seq, due_at, scheduled, after_id, written from held order by seq;

-- name: fan_out_messages
-- The columns of messages that decide who gets them. `:first` and `:last` are the first and last message, so that
-- partitions of other days are not read.
select m.*
from unnest(:ids::uuid[]) as held (id)
cross join lateral (
    select id, event_type, channels, endpoint_id, expires_at, trace from section.message
    where app_id = :app_id and id = held.id and id >= :first and id <= :last
    offset 0
) as m;

-- name: fan_out_slice
-- Write the next deliveries of claimed messages, in their order, reading at most `:looks` endpoints and writing at most
-- `:room` deliveries. Returns what was written, and a row without an endpoint for each completed message. An endpoint
-- gets messages that it matches now, if it existed when they were accepted. A message without a later time is due, even
-- if the clock of the host that accepted it is ahead.
with work as materialized (
    select message_id, seq, due_at, scheduled and due_at > :now::timestamptz as later, after_id, endpoint_id,
           string_to_array(patterns, ' ') as patterns, string_to_array(channels, ' ') as channels,
           string_to_array(written, ' ')::uuid[] as written
    from unnest(
        :message_ids::uuid[], :seqs::bigint[], :due::timestamptz[], :scheduled::boolean[], :afters::uuid[],
        :endpoint_ids::uuid[], :patterns::text[], :channels::text[], :written::text[]
    ) as work (message_id, seq, due_at, scheduled, after_id, endpoint_id, patterns, channels, written)
),
match as materialized (
    -- the last endpoint read is kept even if it gets nothing, because it is the progress of the message
    select * from (
        select *, row_number() over () as turn from (
            select m.message_id, m.seq, m.due_at, m.later, e.*
            from (select * from work order by seq offset 0) as m
            cross join lateral (
                (
                    select e.id as endpoint_id, e.shard, e.fifo, e.revision,
                        e.first_seq < m.seq and (m.written is null or e.id <> all(m.written)) and
                        -- include: wanted
                    from section.endpoint e
                    where e.living_app_id = :app_id
                      and e.id > m.after_id
                      and (select exists (select from section.application where id = :app_id and deleted_at is null))
                      -- include: asked_for
                    order by e.id
                )
                union all
                select null, null, false, null, true
            ) as e
            limit :looks
        ) as looked
    ) as looked
    where wanted or turn = :looks
    limit :room
),
due as (
    insert into section.pending (shard, endpoint_id, message_id, app_id, due_at, seq)
    select shard, endpoint_id, message_id, :app_id, due_at, case when fifo then seq end
    from match
    where wanted and not later and shard < 64
    on conflict do nothing
),
later as (
    insert into section.retry (endpoint_id, message_id, app_id, shard, state, due_at, scheduled, seq)
    select endpoint_id, message_id, :app_id, shard, 1, due_at, later, case when fifo then seq end
    from match
    where wanted and endpoint_id is not null and (later or shard = 64)
    on conflict do nothing
),
done as (
    delete from section.fan_out where message_id in (select message_id from match where endpoint_id is null)
),
moved as (
    update section.fan_out f
    set after_id = last.endpoint_id
    from (select message_id, endpoint_id from match order by turn desc limit 1) as last
    where f.message_id = last.message_id and last.endpoint_id is not null
)
select message_id, endpoint_id, shard, fifo, revision from match where wanted order by turn;

-- name: fan_out_bodies
-- The payloads of messages, as long as their total size is at most `:bytes`. They expire from `:first` to `:last`.
select m.id, case when sum(octet_length(p.body)) over (order by m.id) <= :bytes then p.body end as body,
       p.content_type
from unnest(:ids::uuid[], :expires::timestamptz[]) as m (id, expires_at)
-- include: payload_of
and p.expires_at >= :first and p.expires_at <= :last;

-- name: fan_out_hold^
-- The progress of one message, locked against further slices; no row if all its deliveries are written.
select f.after_id, m.event_type, m.channels, m.endpoint_id
from section.fan_out f
join section.message m on m.app_id = f.app_id and m.id = f.message_id
where f.app_id = :app_id and f.message_id = :message_id
for update of f;

-- name: fan_out_write!
-- Exclude an endpoint from the deliveries that are written later, and write its delivery now if it is `:wanted`.
with written as (
    update section.fan_out set written = array_append(written, :endpoint_id::uuid) where message_id = :message_id
)
insert into section.pending (shard, endpoint_id, message_id, app_id, due_at, seq)
select e.shard, e.id, f.message_id, f.app_id, f.due_at, case when e.fifo then f.seq end
from section.fan_out f
join section.endpoint e on e.app_id = f.app_id and e.id = :endpoint_id and e.first_seq < f.seq and e.shard < 64
where f.message_id = :message_id and :wanted;

-- name: fan_out_waits$
-- Whether deliveries of a message are not written yet.
select exists (select from section.fan_out where app_id = :app_id and message_id = :message_id);

-- name: fan_out_stop!
-- Stop writing deliveries of a message.
delete from section.fan_out where message_id = :message_id;

-- name: fan_out_waiting^
-- How many messages wait, of how many applications, and the oldest of them.
select count(*) as messages, count(distinct app_id) as applications,
       (select message_id from section.fan_out order by message_id limit 1) as oldest
from section.fan_out;
