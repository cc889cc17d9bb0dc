-- Failures of an endpoint belong to one generation of it: a new URL and enabling begin a new one, and what is
-- settled of an older generation says nothing any more.
alter table endpoint add column health_generation integer not null default 0;

-- the evidence for disabling (core/health.py)
alter table endpoint_health
    add column generation integer not null default 0,
    add column run_since timestamptz,
    add column run_until timestamptz,
    add column clock_since timestamptz;
