-- One row per Idempotency-Key that was used: whoever writes its claim_id into the row does the work, and the answer, sealed,
-- is given to all who come with the same key and the same body within 24 hours.
create table if not exists idempotency (
  tenant_id text collate "C" not null,        -- or `operator`
  route text not null,
  digest bytea not null,                      -- SHA-256 of the key
  body_digest bytea not null,                 -- SHA-256 of what was asked
  claim_id text collate "C" not null,         -- who does it: a message's id, or a request's
  claimed_at timestamptz not null default now(),
  answer_box bytea,                           -- null while it is being done
  primary key (tenant_id, route, digest)
);
create index if not exists idempotency_claimed_at on idempotency (claimed_at);

-- Whether a key can be used as if for the first time: its answer has been kept long enough, or whoever was doing the same
-- is dead.
create or replace function claim_has_ended(claimed_at timestamptz, answered boolean, same_body boolean) returns boolean
language sql stable parallel safe
as $$
  select claimed_at < now() - interval '24 hours'
    or (not answered and same_body and claimed_at < now() - interval '30 s')
$$;
