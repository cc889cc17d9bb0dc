-- name: sandbox_counter_take$
-- Take some from an application's counter, made on first use; below nothing it goes on, and readers clamp.
insert into section.sandbox_counter as c (app_id, name, value)
values (:app_id, :name, cast(:start as bigint) - cast(:take as bigint))
on conflict (app_id, name) do update set value = c.value - cast(:take as bigint)
returning value;
