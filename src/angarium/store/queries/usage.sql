-- What applications used, by month, and their limits (store/usage.py).

-- name: usage_fold
-- Add entries to their months, and delete them. Returns the months that changed, with what limits depend on. Several
-- processes may do this at once: each takes other entries, and months are locked in the order of the key.
with taken as (
    delete from section.usage_entry
    where ctid = any(array(select ctid from section.usage_entry limit :limit for update skip locked))
    returning *
),
summed as (
    select app_id, month, sum(messages) as messages, sum(attempts) as attempts, sum(failed) as failed,
           sum(delivered) as delivered, sum(exhausted) as exhausted, sum(canceled) as canceled, max(endpoints) as endpoints,
           count(*) as entries
    from taken
    group by app_id, month
),
added as (
    insert into section.usage as u (
        org_id, month, app_id, uid, messages, attempts, failed, delivered, exhausted, canceled
    )
    select a.org_id, s.month, s.app_id, a.uid, s.messages, s.attempts, s.failed, s.delivered, s.exhausted, s.canceled
    from summed s
    join section.application a on a.id = s.app_id
    order by 1, 2, 3
    on conflict (org_id, month, app_id) do update
        set uid = coalesce(excluded.uid, u.uid), messages = u.messages + excluded.messages,
            attempts = u.attempts + excluded.attempts, failed = u.failed + excluded.failed,
            delivered = u.delivered + excluded.delivered, exhausted = u.exhausted + excluded.exhausted,
            canceled = u.canceled + excluded.canceled
    returning org_id, month, app_id, messages, reached
)
select s.app_id, s.month, s.entries, s.endpoints, added.org_id, added.messages, added.reached, a.quota, a.deleted_at,
       a.uid, a.name
from summed s
left join added on added.app_id = s.app_id and added.month = s.month
left join section.application a on a.id = s.app_id;

-- name: usage_reach!
-- Note limits of months that were reached, so that each is reported once.
update section.usage u set reached = u.reached || string_to_array(n.reached, ' ')
from unnest(:org_ids::text[], :months::timestamptz[], :app_ids::uuid[], :reached::text[]) as n (org_id, month, app_id, reached)
where u.org_id = n.org_id and u.month = n.month and u.app_id = n.app_id;

-- name: usage_refuse!
-- Refuse messages of applications until the end of the month, unless their limits were changed meanwhile. Of several
-- months the last counts: attempts are counted for the month before when it has just ended.
update section.application a set refused_until = greatest(a.refused_until, n.until)
from (
    select app_id, quota, max(until) as until
    from unnest(:app_ids::uuid[], :quotas::text[], :until::timestamptz[]) as n (app_id, quota, until)
    group by app_id, quota
) as n
where a.id = n.app_id and a.quota = n.quota::jsonb;

-- name: usage_allow!
-- Accept messages of applications again.
update section.application set refused_until = null where id = any(:app_ids::uuid[]) and refused_until is not null;

-- name: usage_now
-- What applications used in a month so far, with their limits. Entries that are not added yet are included.
select a.id as app_id, a.org_id, a.quota, used.*
from section.application a
cross join lateral (
    select coalesce(sum(messages), 0)::bigint as messages, coalesce(sum(attempts), 0)::bigint as attempts,
           coalesce(sum(failed), 0)::bigint as failed, coalesce(sum(delivered), 0)::bigint as delivered,
           coalesce(sum(exhausted), 0)::bigint as exhausted, coalesce(sum(canceled), 0)::bigint as canceled
    from (
        select messages, attempts, failed, delivered, exhausted, canceled from section.usage
        where app_id = a.id and month = :month
        union all
        select messages, attempts, failed, delivered, exhausted, canceled from section.usage_entry
        where app_id = a.id and month = :month
    ) as each
) as used
where a.id = any(:app_ids::uuid[]);

-- name: usage_endpoint!
-- Note how many endpoints an application has, after one was created.
insert into section.usage_entry (app_id, month, endpoints)
values (:app_id, date_trunc('month', :now::timestamptz, 'UTC'), :endpoints);

-- name: quota_update!
-- Replace the limits of an application. Whether messages are refused is decided again.
update section.application set quota = :quota, refused_until = :refused_until, updated_at = :now where id = :app_id;

-- name: usage_list
-- The months of an organization, oldest first, after a month of an application; only of one application if it is given.
-- Entries that are not added yet are not included.
select u.org_id, u.month, u.app_id, coalesce(a.uid, u.uid) as uid, a.name, u.messages, u.attempts, u.failed, u.delivered,
       u.exhausted, u.canceled
from section.usage u
left join section.application a on a.id = u.app_id
where u.org_id = :org_id and (u.month, u.app_id) > (:after_month::timestamptz, :after_id::uuid)
  and u.month >= :since and u.month < :until and (:app_id::uuid is null or u.app_id = :app_id)
order by u.month, u.app_id
limit :limit;

-- name: usage_list_back
-- The same, newest first, before a month of an application.
select u.org_id, u.month, u.app_id, coalesce(a.uid, u.uid) as uid, a.name, u.messages, u.attempts, u.failed, u.delivered,
       u.exhausted, u.canceled
from section.usage u
left join section.application a on a.id = u.app_id
where u.org_id = :org_id and (u.month, u.app_id) < (:after_month::timestamptz, :after_id::uuid)
  and u.month >= :since and u.month < :until and (:app_id::uuid is null or u.app_id = :app_id)
order by u.month desc, u.app_id desc
limit :limit;

-- name: usage_history
-- The months of one application before a month, newest first. Entries that are not added yet are not included.
select app_id, month, uid, messages, attempts, failed, delivered, exhausted, canceled
from section.usage
where app_id = :app_id and month < :before
order by month desc
limit :limit;
