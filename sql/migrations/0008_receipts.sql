-- Receipts: what a provider reports, later, of a message that it took.

-- Of two states of a message the one that knows more. Reports come late, twice, and in any order; whoever writes a state
-- writes the further one, and every order ends in the same row. Delivered is the last: what a person holds was delivered,
-- whatever else was reported of it.
create or replace function further_state(one text, other text) returns text
language sql immutable strict parallel safe
as $$
  select states[greatest(array_position(states, one), array_position(states, other))]
  from (select array['queued', 'sent', 'unknown', 'failed', 'delivered']) as ladder(states)
$$;

-- Null where no receipt will come; else the end of the code, after which one is not waited for any more.
alter table messages add column if not exists receipt_due_at timestamptz;
create index if not exists messages_unreported on messages (receipt_due_at) where state = 'sent';

-- A message that a process is handing over may have moved on from `queued` already, by a receipt that was faster.
create index if not exists messages_trying on messages (claimed_until) where trying is not null;

-- The newest message of a challenge.
alter table challenges add column if not exists message_id text collate "C";
