-- Faults on our side and the lanes that they hold (store/our_fault.py).

-- name: fault_note!
-- Write the faults of a process, or that they last.
insert into section.fault (process, code, since, noted_at, lanes)
select :process, code, since, :now, lanes
from unnest(:codes::text[], :since::timestamptz[], :lanes::integer[]) as one (code, since, lanes)
on conflict (process, code) do update
set since = excluded.since, noted_at = excluded.noted_at, lanes = excluded.lanes;

-- name: fault_end!
-- Take away the faults of a process that are over, with the lanes that they held.
delete from section.fault where process = :process and not code = any(:codes::text[]);

-- name: fault_hold!
-- Write which lanes a fault holds.
insert into section.held_lane (endpoint_id, process, code, since)
select endpoint_id, :process, code, since
from unnest(:endpoint_ids::uuid[], :codes::text[], :since::timestamptz[]) as one (endpoint_id, code, since)
on conflict (endpoint_id, process) do update set code = excluded.code, since = excluded.since;

-- name: fault_release!
-- Take away lanes that are held no longer.
delete from section.held_lane where process = :process and endpoint_id = any(:endpoint_ids::uuid[]);

-- name: fault_list
-- The faults of all processes that have been noted since a time, the oldest first.
select process, code, since, lanes from section.fault
where noted_at >= :noted_since
order by since, process, code
limit :limit;
