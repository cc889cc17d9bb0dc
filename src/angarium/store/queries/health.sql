-- name: health_check$
-- Whether the database accepts writes.
select not pg_is_in_recovery() and not current_setting('transaction_read_only')::boolean;
