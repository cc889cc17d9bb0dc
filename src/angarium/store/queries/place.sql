-- Places in the order of acceptance (store/place.py). Rows are locked in the same order as by a cancellation.

-- name: place_first$
-- Put the first attempts of a lane at the place before all others: those without a place, or `:all`. Returns how many.
with wanted as materialized (
    select message_id from section.pending
    where shard = :shard and endpoint_id = :endpoint_id and app_id = :app_id
      and (seq is null or (:all::boolean and seq <> 0))
    order by message_id
    for update
),
placed as (
    update section.pending p set seq = 0 from wanted w
    where p.shard = :shard and p.endpoint_id = :endpoint_id and p.message_id = w.message_id
    returning 1
)
select count(*) from placed;

-- name: place_retry$
-- The same for deliveries in `retry`.
with wanted as materialized (
    select message_id from section.retry
    where endpoint_id = :endpoint_id and app_id = :app_id and (seq is null or (:all::boolean and seq <> 0))
    order by message_id
    for update
),
placed as (
    update section.retry r set seq = 0 from wanted w
    where r.endpoint_id = :endpoint_id and r.message_id = w.message_id
    returning 1
)
select count(*) from placed;
