-- name: database_time$
-- The one time that all processes on this database go by.
select extract(epoch from clock_timestamp())::double precision;
