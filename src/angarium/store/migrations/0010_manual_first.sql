-- The manual attempts that a lane owes, which it loads before all else.
create index delivery_manual on delivery (shard, endpoint_id, due_at)
    where due_at is not null and manual_at is not null;
