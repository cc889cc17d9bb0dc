-- name: missing_end$
-- the last message of a stretch with a number of messages; null: it reaches the end
select id from section.message
where app_id = :app_id and id > :after and id <= :until
order by id
offset :rows limit 1;

-- name: missing_count$
-- how many messages of a stretch an endpoint matches today but has no delivery of; `offset 0` keeps that a lookup
select count(*) from (
    select id from section.message m
    where app_id = :app_id and id > :after and id <= :until and endpoint_id is null
      and (:names::text[] is null or event_type = any(:names) or event_type ^@ any(:prefixes::text[]))
      and (:channels::text[] is null or channels && :channels)
      and
      -- include: fanned_out
      and
      -- include: kept
    offset 0
) m
where not exists (
    select from section.pending
    where shard = :shard and endpoint_id = :endpoint_id and app_id = :app_id and message_id = m.id
    offset 0
)
and not exists (
    select from section.retry where endpoint_id = :endpoint_id and app_id = :app_id and message_id = m.id offset 0
)
and not exists (
    select from section.attempt
    where endpoint_id = :endpoint_id and app_id = :app_id and message_id = m.id and final
      and message_id > :after and message_id <= :until
    offset 0
);
