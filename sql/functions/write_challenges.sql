-- Write the challenges, links and messages of requests that were accepted. Returns their events, for record_events.
create function write_challenges(opened opened_challenge[], has_links boolean) returns new_event[]
language plpgsql
as $$
declare
  new_events new_event[];
begin
  insert into challenges (tenant_id, id, identifier, channel, expires_at, message_id)
  select r.tenant_id, o.challenge_id, r.identifier, channel_of(r.type), o.expires_at, r.message_id
  from unnest(opened) as o cross join lateral (select (o.request).*) as r
  on conflict (tenant_id, id) do update set expires_at = excluded.expires_at, message_id = excluded.message_id;

  insert into messages (tenant_id, id, challenge_id, identifier, channel, locale, trying, claimed_until, attention_at,
    country, segments, price_microdollars, price_source)
  select r.tenant_id, r.message_id, o.challenge_id, r.identifier, channel_of(r.type), r.locale, r.provider,
    case when r.provider is not null then now() + interval '15 s' end,
    case when r.provider is not null then now() + interval '15 s' else now() end, r.country, r.segments, r.price_microdollars, 'estimate'
  from unnest(opened) as o cross join lateral (select (o.request).*) as r
  where not r.is_suppressed;

  if has_links then
    insert into links (tenant_id, message_id, challenge_id, identifier, token_digest, secret_digest, with_code, redirect_to,
      code_challenge, user_agent, network, expires_at)
    select r.tenant_id, r.message_id, o.challenge_id, r.identifier, r.link_token_digest, r.link_secret_digest,
      r.link_with_code, r.redirect_to, r.code_challenge, r.link_user_agent, r.link_network, o.expires_at
    from unnest(opened) as o cross join lateral (select (o.request).*) as r
    where r.link_token_digest is not null;
  end if;

  select array_agg(row(r.tenant_id, r.event_id, 'challenge.' || o.verdict, r.actor, o.challenge_id, r.request_id, r.network,
    case when r.is_suppressed then r.data || '{"suppressed": "sign_up_closed"}' else r.data end)::new_event)
  into new_events
  from unnest(opened) as o cross join lateral (select (o.request).*) as r;
  return new_events;
end
$$;
