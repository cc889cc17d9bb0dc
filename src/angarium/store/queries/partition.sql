-- name: partition_begin^
-- Allow one change of partitions at a time. A statement that waits for a lock on a table soon gives up, because other
-- statements wait behind it.
select pg_advisory_xact_lock(1097755489, -2), set_config('lock_timeout', :timeout, true);

-- name: partition_list
-- The partitions of a table.
select c.relname as name
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = format('section.%I', cast(:parent as text))::regclass
order by c.relname;

-- name: partition_add^
select section.add_partition(:parent, :name, :low, :high);

-- name: partition_refresh^
-- Let all sessions read again which partitions a table has. It blocks no reads and writes.
select section.refresh_partitions(:parent);

-- name: partition_drop^
select section.drop_partition(:parent, :name);
