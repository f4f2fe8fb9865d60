-- Results of paid look-ups of phone numbers, shared by all tenants. The key is a MAC of the number under a key that is
-- derived from JWT_SECRET: a copy of the database reveals no numbers, and erasing a user leaves no number behind.
create table if not exists line_types (
  digest bytea primary key,             -- 16 bytes
  line_type text collate "C",           -- as Twilio Lookup names it; null: only signals were bought
  looked_up_at timestamptz not null default now(),
  pumping_risk smallint,                -- 0 to 100
  sim_swapped boolean,
  signals_at timestamptz                -- of pumping_risk and sim_swapped
);
