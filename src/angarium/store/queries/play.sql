-- name: play_inbox_insert!
-- Store a new inbox, which responds with 200 without a delay.
insert into section.play_inbox (id, org_id, app_id, expires_at) values (:id, :org_id, :app_id, :expires_at);

-- name: play_inbox_count$
-- The number of inboxes of an application that have not expired.
select count(*) from section.play_inbox where app_id = :app_id and expires_at > :now;

-- name: play_inbox_list
-- The inboxes of an application that have not expired, newest first, with the id of the last request.
select i.*, (select r.id from section.play_request r where r.inbox_id = i.id order by r.id desc limit 1) as last_id
from section.play_inbox i
where i.app_id = :app_id and i.expires_at > :now
order by i.id desc;

-- name: play_inbox_find^
-- An inbox of an application that has not expired.
select * from section.play_inbox where id = :id and app_id = :app_id and expires_at > :now;

-- name: play_inbox_take^
-- An inbox that has not expired, locked while a request is stored, so that requests are stored one after the other.
select i.* from section.play_inbox i
join section.application a on a.org_id = i.org_id and a.id = i.app_id and a.deleted_at is null
where i.id = :id and i.expires_at > :now
for update of i;

-- name: play_inbox_is_living$
-- Whether there is an inbox with this id that has not expired.
select exists(
    select 1 from section.play_inbox i
    join section.application a on a.org_id = i.org_id and a.id = i.app_id and a.deleted_at is null
    where i.id = :id and i.expires_at > :now
);

-- name: play_inbox_answer^
-- Change the response of an inbox.
update section.play_inbox
set status_code = :status_code, delay_ms = :delay_ms, failure_percent = :failure_percent, expires_at = :expires_at
where id = :id and app_id = :app_id
returning *;

-- name: play_inbox_extend!
-- Extend the life of an inbox that is used.
update section.play_inbox set expires_at = :expires_at where id = :id;

-- name: play_inbox_delete!
-- Delete an inbox with its requests.
delete from section.play_inbox where id = :id and app_id = :app_id;

-- name: play_endpoints
-- The endpoints of an application that have exactly this URL.
select * from section.endpoint
where living_app_id = :app_id and url = :url
order by id
limit :limit;

-- name: play_request_insert!
-- Store a request.
insert into section.play_request (inbox_id, id, method, headers, body, size, status_code, verified, finding)
values (:inbox_id, :id, :method, :headers, :body, :size, :status_code, :verified, :finding);

-- name: play_request_trim!
-- Delete all but the newest requests.
delete from section.play_request
where
    inbox_id = :inbox_id
    and id < (select id from section.play_request where inbox_id = :inbox_id order by id desc offset :kept - 1 limit 1);

-- name: play_request_list
-- The requests in an inbox after an id, newest first, without their bodies.
select id, method, cast('[]' as jsonb) as headers, cast('' as bytea) as body, size, status_code, verified, finding
from section.play_request
where inbox_id = :inbox_id and id > :after
order by id desc;

-- name: play_request_since
-- The requests in an inbox after an id, oldest first, with headers and bodies.
select id, method, headers, body, size, status_code, verified, finding
from section.play_request
where inbox_id = :inbox_id and id > :after
order by id
limit :limit;

-- name: play_request_get^
-- One request, with headers and body.
select id, method, headers, body, size, status_code, verified, finding
from section.play_request
where inbox_id = :inbox_id and id = :id;

-- name: play_request_last$
-- The id of the newest request in an inbox.
select id from section.play_request where inbox_id = :inbox_id order by id desc limit 1;

-- name: play_request_clear!
-- Delete all requests of an inbox.
delete from section.play_request
where inbox_id = (select id from section.play_inbox where id = :id and app_id = :app_id);
