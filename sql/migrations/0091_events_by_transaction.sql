-- Statements of this file commit one by one.
-- Readers follow events by transaction.
create index if not exists events_tx on only events (tx);
create index concurrently if not exists {partition}_tx on {partition} (tx);
alter index events_tx attach partition {partition}_tx;

-- Events of versions without transactions are read in the order of their ids. New partitions have none.
create index concurrently if not exists {partition}_without_tx on {partition} (id) where tx = '0';
