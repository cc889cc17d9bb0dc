-- name: idempotency_begin^
-- Take the key; nothing when someone else has it and it is still good. An expired or abandoned one is taken over.
insert into control.idempotency (key, locked_until, expires_at) values (:key, :locked_until, :expires_at)
on conflict (key) do update
set
    locked_until = excluded.locked_until, expires_at = excluded.expires_at, status = null, body = null
where idempotency.expires_at <= :now or (idempotency.status is null and idempotency.locked_until <= :now)
returning key;

-- name: idempotency_find^
-- What is known of the key.
select status, body, locked_until from control.idempotency where key = :key;

-- name: idempotency_finish!
-- Keep the answer, unless someone took the key over meanwhile.
update control.idempotency set status = :status, body = :body, expires_at = :expires_at
where key = :key and status is null and locked_until = :locked_until;

-- name: idempotency_abandon!
-- Let the key go without an answer.
delete from control.idempotency where key = :key and status is null and locked_until = :locked_until;
