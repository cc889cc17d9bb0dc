-- The log positions of a primary and a standby. Positions are numbers of bytes, and are comparable only if system,
-- database and timeline are the same. Commits are flushed, so the primary's flush position is at or after every commit
-- that was confirmed to a client.

-- name: replica_primary^
select
    (select system_identifier from pg_control_system()) as system,
    (select oid from pg_database where datname = current_database())::bigint as database,
    case when not pg_is_in_recovery() then
        ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::integer
    end as timeline,
    case when not pg_is_in_recovery() then (pg_current_wal_flush_lsn() - '0/0')::bigint end as lsn;

-- name: replica_standby^
-- The timeline is read from the last restart point, from the minimum recovery point, and, if the role may see it
-- (pg_read_all_stats), from the WAL receiver.
select
    (select system_identifier from pg_control_system()) as system,
    (select oid from pg_database where datname = current_database())::bigint as database,
    greatest(
        (select timeline_id from pg_control_checkpoint()),
        (select min_recovery_end_timeline from pg_control_recovery()),
        (select received_tli from pg_stat_wal_receiver)
    ) as timeline,
    case when pg_is_in_recovery() then (pg_last_wal_replay_lsn() - '0/0')::bigint end as lsn;
