-- name: health_check$
-- Whether the database answers.
select true;
