-- name: rewrap_endpoint_page
-- The sealed values of the next endpoints, the deleted too, in order of the primary key.
select app_id, id, url, keys, headers from section.endpoint
where (app_id, id) > (:app_id, :id)
order by app_id, id
limit :limit;

-- name: rewrap_endpoint!
-- Replace sealed values, unless someone changed them meanwhile (then they are under the first key already).
update section.endpoint set url = :url, keys = :keys, headers = :headers
where app_id = :app_id and id = :id and url = :old_url and keys = :old_keys and headers is not distinct from :old_headers;

-- name: rewrap_answer_page
-- The sealed answers of the next idempotency keys.
select key, body from control.idempotency where key > :key and body is not null order by key limit :limit;

-- name: rewrap_answer!
-- Replace a sealed answer, unless someone changed it meanwhile.
update control.idempotency set body = :body where key = :key and body = :old_body;
