-- The end of the replays by hand of a webhook: further ones follow them, so that requests together keep to the rate.
alter table webhooks add column if not exists replayed_until timestamptz;
