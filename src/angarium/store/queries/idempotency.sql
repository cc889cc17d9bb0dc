-- name: idempotency_begin^
-- Lock a key; no row if it is used and valid. An expired or abandoned key is taken over.
insert into control.idempotency (key, locked_until, expires_at) values (:key, :locked_until, :expires_at)
on conflict (key) do update
set
    locked_until = excluded.locked_until, expires_at = excluded.expires_at, status = null, body = null
where idempotency.expires_at <= :now or (idempotency.status is null and idempotency.locked_until <= :now)
returning key;

-- name: idempotency_find^
-- The state of a key.
select status, body, locked_until from control.idempotency where key = :key;

-- name: idempotency_finish!
-- Store the response, unless another request has taken the key over.
update control.idempotency set status = :status, body = :body, expires_at = :expires_at, subject = :subject
where key = :key and status is null and locked_until = :locked_until;

-- name: idempotency_abandon!
-- Release a key without a response.
delete from control.idempotency where key = :key and status is null and locked_until = :locked_until;
