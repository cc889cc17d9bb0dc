-- Whether a delivery was accepted for a later time and has not been tried on its schedule yet: it holds nothing
-- back in a first-in-first-out lane until it is due.
alter table delivery add column scheduled boolean not null default false;

-- what a first-in-first-out lane sends next, in order of acceptance
create index delivery_fifo_ready on delivery (endpoint_id, seq) where due_at is not null and fifo and not scheduled;

-- and what takes its place among these when it is due
create index delivery_fifo_scheduled on delivery (endpoint_id, due_at) where due_at is not null and fifo and scheduled;
