-- name: payload_read
-- the payloads of messages that exist and have not expired; the bounds leave out the partitions of other days
select wanted.id, case when :with_body then p.body end as body
from unnest(:ids::uuid[], :expiries::timestamptz[]) as wanted (id, expires_at)
cross join lateral (
    select body from section.payload
    where message_id = wanted.id and expires_at = wanted.expires_at and expires_at between :first and :last
      and expires_at > :now
    offset 0
) p;

-- name: payload_expunge!
-- delete a payload before it expires
delete from section.payload where message_id = :id and expires_at = :expires_at;
