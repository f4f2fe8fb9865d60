-- When a receipt said that a message had arrived: for the time that deliveries take.
alter table messages add column if not exists delivered_at timestamptz;
