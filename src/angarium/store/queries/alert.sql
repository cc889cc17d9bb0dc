-- Alerts to people: notices, which wait and are counted, and the mails made of them.

-- part: notice_recipients
-- Who gets alerts of an endpoint: the operator's channels, and the contacts of its application that chose the kind. Not
-- of deleted applications. Sorted, so that transactions take locks in the same order.
    select r.id, w.endpoint_id, w.kind, w.app_id, w.count, w.code, :now, :now
    from news w
    cross join lateral (
        select unnest(:operator::uuid[]) as id
        union all
        select c.id from section.contact c
        where :contacts and c.app_id = w.app_id and c.status = 'active' and w.kind = any(c.kinds)
    ) as r
    where exists (select from section.application a where a.id = w.app_id and a.deleted_at is null)
    order by 1, 2, 3
on conflict (recipient_id, endpoint_id, kind) do update
    set count = notice.count + excluded.count, code = coalesce(excluded.code, notice.code), last_at = excluded.last_at

-- name: notice_add!
-- Note what happened at endpoints, for all who get alerts of it.
with news as (
    select * from unnest(:app_ids::uuid[], :endpoint_ids::uuid[], :kinds::text[], :counts::bigint[], :codes::text[])
        as news (app_id, endpoint_id, kind, count, code)
)
insert into section.notice (recipient_id, endpoint_id, kind, app_id, count, code, first_at, last_at)
    -- include: notice_recipients
;

-- name: notice_add_failing$
-- Note endpoints that have failed since before a time and were not reported, and mark them as reported. Returns how many
-- were marked. The failure kind is that of the last failed attempt, from the hourly stats.
with unreported as materialized (
    select app_id, endpoint_id, failing_since, generation from section.endpoint_health
    where failing_since <= :before and failing_since is distinct from reported_since
    order by failing_since limit :limit
    for update skip locked
),
marked as (
    update section.endpoint_health h set reported_since = u.failing_since
    from unreported u
    where h.app_id = u.app_id and h.endpoint_id = u.endpoint_id
    returning h.endpoint_id
),
news as (
    select u.app_id, u.endpoint_id, 'endpoint.failing' as kind, 1::bigint as count, s.error_code as code
    from unreported u
    join section.endpoint e on e.app_id = u.app_id and e.id = u.endpoint_id
        and e.disabled_at is null and e.deleted_at is null and e.health_generation = u.generation
    left join lateral (
        select error_code from section.attempt_hour s
        where s.app_id = u.app_id and s.endpoint_id = u.endpoint_id and s.error_code is not null
        order by hour desc limit 1
    ) s on true
),
noted as (
    insert into section.notice (recipient_id, endpoint_id, kind, app_id, count, code, first_at, last_at)
        -- include: notice_recipients
)
select count(*) from marked;

-- name: notice_due
-- Recipients with notices who may get a digest now, or for whom no window is open. Those that still wait for a mail are left
-- out, so that a mail server that is down does not make mails pile up. Skips from recipient to recipient.
with recursive waiting as (
    (select recipient_id as id from section.notice order by recipient_id limit 1)
    union all
    select (
        select recipient_id from section.notice n where n.recipient_id > w.id order by recipient_id limit 1
    )
    from waiting w where w.id is not null
)
select w.id, d.level, d.next_at
from waiting w
left join section.digest d on d.recipient_id = w.id
where w.id is not null and (d.recipient_id is null or d.next_at <= :now)
  and not exists (select from section.mail m where m.recipient_id = w.id and m.due_at is not null and m.kind = 'digest')
order by d.next_at nulls first
limit :limit;

-- name: digest_window!
-- Store when a recipient may get the next digest.
insert into section.digest (recipient_id, level, next_at) values (:recipient_id, :level, :next_at)
on conflict (recipient_id) do update set level = excluded.level, next_at = excluded.next_at;

-- name: notice_take
-- Take the notices of a recipient, at most `limit`, for a mail: the first of each kind, and the sums of all.
with chosen as (
    select recipient_id, endpoint_id, kind from section.notice
    where recipient_id = :recipient_id
    order by recipient_id, endpoint_id, kind limit :limit
    for update
),
taken as (
    delete from section.notice n using chosen c
    where n.recipient_id = c.recipient_id and n.endpoint_id = c.endpoint_id and n.kind = c.kind
    returning n.*
),
ranked as (
    select *, count(*) over (partition by kind) as endpoints, sum(count) over (partition by kind) as total,
        row_number() over (partition by kind order by count desc, first_at, endpoint_id) as place
    from taken
)
select r.kind, r.app_id, r.endpoint_id, r.count, r.code, r.first_at, r.last_at, r.endpoints, r.total::bigint as total,
    e.name, e.url, a.name as application, a.org_id
from ranked r
left join section.endpoint e on e.app_id = r.app_id and e.id = r.endpoint_id
left join section.application a on a.id = r.app_id
where r.place <= :shown
order by r.kind, r.place;

-- name: mail_add!
-- Write a mail, to be sent soon.
insert into section.mail (id, recipient_id, app_id, email, kind, content, due_at, created_at)
values (:id, :recipient_id, :app_id, :email, :kind, :content, :now, :now);

-- name: mail_claim
-- Take mails that are due. They are due again at `until`, if this process does not say what became of them by then.
with due as (
    select id from section.mail where due_at <= :now order by due_at limit :limit for update skip locked
),
claimed as (
    update section.mail m set due_at = :until, tries = tries + 1 from due where m.id = due.id returning m.*
)
select m.id, m.recipient_id, m.app_id, m.kind, m.content, m.tries, m.created_at,
    c.email, c.status, c.nonce, c.org_id, a.name as application
from claimed m
left join section.contact c on c.app_id = m.app_id and c.id = m.recipient_id
left join section.application a on a.id = m.app_id
order by m.created_at, m.id;

-- name: mail_settle!
-- Store what became of a mail: it is due again, or never (null), and then has no content any more.
update section.mail
set due_at = :due_at::timestamptz, content = case when :due_at::timestamptz is not null then content end
where id = :id;

-- name: confirmation_count^
-- The confirmations that were mailed since a time, for an application and to an address.
select
    (select count(*) from section.mail where kind = 'confirmation' and app_id = :app_id and created_at > :since)
        as of_application,
    (select count(*) from section.mail where kind = 'confirmation' and lower(email) = lower(:email) and created_at > :since)
        as of_address;
