-- How often an identifier answered a code, and how many of its sends it did not answer. The fraud rules read them where a
-- request would otherwise be rejected. The functions that send, submit and prove codes count under the lock of the row.
-- Workers of the previous release do not count: what they send or verify is missing from both.
alter table identifiers add column if not exists answered integer not null default 0;
alter table identifiers add column if not exists unanswered integer not null default 0;
