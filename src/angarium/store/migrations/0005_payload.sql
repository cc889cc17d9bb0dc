-- PostgreSQL's own compression, pglz, costs more than all else that is done for a message of 20 kB; a payload
-- beyond some 2 kB is compressed with lz4, or not at all by a PostgreSQL that was built without it.
do $$
begin
    alter table message alter column payload set compression lz4;
exception when feature_not_supported then
    alter table message alter column payload set storage external;
end
$$;
