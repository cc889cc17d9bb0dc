-- name: sandbox_counter_take$
-- Take some from an application's counter, made on first use; below nothing it goes on, and readers clamp.
insert into sandbox_counter as c (app_id, name, value) values (:app_id, :name, :start - :take)
on conflict (app_id, name) do update set value = c.value - :take
returning value;
