-- name: sandbox_counter_take$
-- Subtract from an application's counter, which is created on first use. It may fall below zero; readers clamp it.
insert into section.sandbox_counter as c (app_id, name, value)
values (:app_id, :name, cast(:start as bigint) - cast(:take as bigint))
on conflict (app_id, name) do update set value = c.value - cast(:take as bigint)
returning value;
