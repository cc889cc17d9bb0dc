-- name: audit_record!
-- one deed; it is there when the transaction of the deed commits, and only then
insert into audit (org_id, id, app_id, actor, address, action, target, before, after)
values (coalesce(:org_id, (select org_id from application where id = :app_id)), :id, :app_id, :actor, :address, :action, :target, :before, :after);

-- walk: audit_page
-- the deeds of an organization within bounds
select * from audit
where org_id = :org_id and id > :low and id < :high
  and (cast(:action as text) is null or action = :action or starts_with(action, :noun))
order by id desc
limit :limit;

-- walk: audit_application_page
-- the deeds of one application within bounds
select * from audit
where app_id = :app_id and org_id = :org_id and id > :low and id < :high
  and (cast(:action as text) is null or action = :action or starts_with(action, :noun))
order by id desc
limit :limit;
