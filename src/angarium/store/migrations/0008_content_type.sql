-- The Content-Type of a message's requests, where its sender chose another than application/json.
alter table message add column content_type text;
