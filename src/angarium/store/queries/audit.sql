-- name: audit_record!
-- Store an audit event in a section, in the transaction of its change.
insert into section.audit (org_id, id, app_id, actor, address, action, target, before, after)
values (
    coalesce(:org_id, (select org_id from section.application where id = :app_id)),
    :id, :app_id, :actor, :address, :action, :target, :before, :after
);

-- name: audit_record_control!
-- The same in the control schema.
insert into control.audit (org_id, id, app_id, actor, address, action, target, before, after)
values (
    coalesce(:org_id, (select org_id from control.placement where app_id = :app_id)),
    :id, :app_id, :actor, :address, :action, :target, :before, :after
);

-- part: audit_events
-- within bounds
select * from {table}
where {owner} and id > :low and id < :high
  and (cast(:action as text) is null or action = :action or starts_with(action, :noun))
order by id desc
limit :limit;

-- walk: audit_page
-- The audit events of an organization in one section.
-- include: audit_events table=section.audit owner=org_id = :org_id

-- walk: audit_application_page
-- The audit events of one application in its section.
-- include: audit_events table=section.audit owner=app_id = :app_id and org_id = :org_id

-- walk: audit_control_page
-- The audit events of an organization in the control schema.
-- include: audit_events table=control.audit owner=org_id = :org_id

-- walk: audit_control_application_page
-- The audit events of one application in the control schema.
-- include: audit_events table=control.audit owner=app_id = :app_id and org_id = :org_id
