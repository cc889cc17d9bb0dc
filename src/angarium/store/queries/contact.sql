-- Contacts of applications. What waits for a contact is deleted with it.

-- name: contact_list
-- The contacts of an application, in order of creation.
select * from section.contact where app_id = :app_id order by id;

-- name: contact_list_lock
-- The same, locked until the end of the transaction: none is confirmed or deleted meanwhile.
select * from section.contact where app_id = :app_id order by id for update;

-- name: contact_lock^
-- One contact, locked until the end of the transaction.
select * from section.contact where app_id = :app_id and id = :id for update;

-- name: contact_insert!
-- Store a new contact.
insert into section.contact (app_id, id, org_id, email, kinds, status, nonce, created_at, updated_at)
values (:app_id, :id, :org_id, :email, :kinds, :status, :nonce, :now, :now);

-- name: contact_update!
-- Store what can change.
update section.contact
set kinds = :kinds, status = :status, nonce = :nonce, bounce = :bounce, updated_at = :now
where app_id = :app_id and id = :id;

-- name: contact_forget!
-- Delete what waits for contacts.
with notices as (
    delete from section.notice where recipient_id = any(:ids::uuid[])
),
digests as (
    delete from section.digest where recipient_id = any(:ids::uuid[])
)
update section.mail set due_at = null, content = null where recipient_id = any(:ids::uuid[]) and due_at is not null;

-- name: contact_delete!
-- Delete contacts of an application.
delete from section.contact where app_id = :app_id and id = any(:ids::uuid[]);
