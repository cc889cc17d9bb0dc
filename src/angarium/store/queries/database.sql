-- name: database_time$
-- The database's time, which all processes follow.
select extract(epoch from clock_timestamp())::double precision;
