-- PostgreSQL's own compression, pglz, takes four tenths of the time of a delivery of 20 kB. So a payload beyond
-- some 2 kB is compressed with lz4, or not at all by a PostgreSQL that was built without it.
do $$
begin
    alter table message alter column payload set compression lz4;
exception when feature_not_supported then
    alter table message alter column payload set storage external;
end
$$;
