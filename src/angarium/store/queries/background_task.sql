-- name: background_task_create^
-- store a new task; any process may run it. No row if its application is being erased
insert into section.background_task (id, org_id, app_id, kind, status, arguments, data, created_at, updated_at)
select :id::uuid, :org_id::text, :app_id::uuid, :kind::text, 'running', :arguments::jsonb, :data::jsonb,
       :now::timestamptz, :now::timestamptz
where not exists (select from section.application where id = :app_id and erasing_at is not null)
returning *;

-- name: background_task_hint!
-- notify dispatchers of a task, when the transaction commits
select pg_notify('angarium', 't:');

-- name: background_task_get^
-- one task of an organization, of the kinds that the caller may see
select * from section.background_task where id = :id and org_id = :org_id and kind = any(:kinds::text[]);

-- walk: background_task_page
-- within bounds
select * from section.background_task
where org_id = :org_id and kind = any(:kinds::text[]) and id > :low and id < :high
  and (:statuses::text[] is null or status = any(:statuses))
order by id desc
limit :limit;

-- name: background_task_of_application
-- the newest tasks of an application, of the kinds that the caller may see
select * from section.background_task
where app_id = :app_id and kind = any(:kinds::text[])
order by id desc
limit :limit;

-- name: background_task_find^
-- one task of an application, of the kinds that the caller may see
select * from section.background_task where id = :id and app_id = :app_id and kind = any(:kinds::text[]);

-- name: background_task_cancel^
-- stop a running task; waits for its current step
update section.background_task set status = 'canceled', updated_at = :now
where id = :id and app_id = :app_id and kind = any(:kinds::text[]) and status = 'running'
returning *;

-- name: background_task_claim^
-- the task that has waited longest for its next step, if its rate allows one, locked until the transaction ends
select * from section.background_task
where status = 'running' and (due_at is null or due_at <= :now)
order by updated_at, id
limit 1
for update skip locked;

-- name: background_task_next_due$
-- when the next step of a task with a rate is due; null: none waits
select min(due_at) from section.background_task where status = 'running';

-- name: background_task_advance!
-- store the progress of a task, and when its next step is due
update section.background_task
set status = :status, cursor = :cursor, data = :data, error = :error, updated_at = :now, due_at = :due_at
where id = :id;

-- name: background_task_erasing^
-- the running erasure of a target
select * from section.background_task
where status = 'running' and org_id = :org_id and kind = :kind and arguments ->> 'target' = :target::text;

-- name: background_task_clear!
-- forget the arguments of a task, which name what was erased
update section.background_task set arguments = '{}', app_id = null where id = :id;
