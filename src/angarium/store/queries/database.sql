-- name: database_time$
-- The database's time, which all processes follow.
select extract(epoch from clock_timestamp())::double precision;

-- name: health_check$
-- Whether the database accepts writes.
select not pg_is_in_recovery() and not current_setting('transaction_read_only')::boolean;

-- name: session_begin^
-- Apply settings to the session. Returns whether it is read-only.
select pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only,
    (select count(set_config(name, value, false)) from unnest(:names::text[], :values::text[]) as s (name, value))
        as settings;
