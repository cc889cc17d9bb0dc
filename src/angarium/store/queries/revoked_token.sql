-- name: revoked_token_create!
-- Remember a token that was logged out, and forget those that have expired by themselves.
with forgotten as (delete from revoked_token where expires_at < :now)
insert into revoked_token (digest, expires_at) values (:digest, :expires_at) on conflict do nothing;

-- name: revoked_token_exists$
-- Whether a token was logged out.
select exists (select from revoked_token where digest = :digest);
