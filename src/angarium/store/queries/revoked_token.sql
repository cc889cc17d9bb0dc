-- name: revoked_token_create!
-- Store a revoked token, and delete those that have expired.
with forgotten as (delete from control.revoked_token where expires_at < :now)
insert into control.revoked_token (digest, expires_at) values (:digest, :expires_at) on conflict do nothing;

-- name: revoked_token_is_ended$
-- Whether one of the credentials (tokens and keys) was revoked, or a cutoff of the application or session applies.
select exists (select from control.revoked_token where digest = any(cast(:digests as bytea [])))
    or exists (
        select from control.api_key where lookup = any(cast(:digests as bytea [])) and revoked_at is not null
    )
    or exists (
        select from control.token_cutoff
        where app_id = :app_id and session_id in ('', :session_id)
            and issued_until >= :issued_at and ends_at <= :now
    );

-- name: revoked_token_end_all!
-- Store a cutoff, and delete those that it covers.
with covered as (
    delete from control.token_cutoff
    where app_id = :app_id and session_id = :session_id
        and issued_until < :issued_until and ends_at >= :ends_at
)
insert into control.token_cutoff (app_id, session_id, issued_until, ends_at)
values (:app_id, :session_id, :issued_until, :ends_at)
on conflict (app_id, session_id, issued_until) do update
set ends_at = least(token_cutoff.ends_at, excluded.ends_at);
