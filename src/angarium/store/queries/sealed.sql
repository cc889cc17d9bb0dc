-- name: rewrap_endpoint_page
-- The sealed values of the next endpoints, including deleted ones, in order of the primary key.
select app_id, id, url, keys, headers from section.endpoint
where (app_id, id) > (:app_id, :id)
order by app_id, id
limit :limit;

-- name: rewrap_endpoint!
-- Replace sealed values, unless they have changed (they are then encrypted with the first key already).
update section.endpoint set url = :url, keys = :keys, headers = :headers
where app_id = :app_id and id = :id and url = :old_url and keys = :old_keys and headers is not distinct from :old_headers;

-- name: rewrap_answer_page
-- The sealed responses of the next idempotency keys.
select key, body from control.idempotency where key > :key and body is not null order by key limit :limit;

-- name: rewrap_answer!
-- Replace a sealed response, unless it has changed.
update control.idempotency set body = :body where key = :key and body = :old_body;
