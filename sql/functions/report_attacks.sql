-- Add the rejections that a worker counted to those of each scope. The event attack.detected is recorded when a scope has
-- rejected enough requests, and again each hour while it goes on: once in the whole installation, because the row is
-- locked. A scope is at most once in a batch. Returns the events. end_attacks records the end.
create type report_attack as (
  tenant_id text,
  scope text,
  subject text,
  rejected int,
  microdollars bigint,
  load real,
  threshold int,                  -- rejections from which it is an attack
  has_ended boolean,              -- known to be over: not only quiet
  event_id text,
  deadline timestamptz
);
create type attack_result as (
  event_id text,
  events text
);

create function report_attacks(requests report_attack[]) returns setof attack_result
language plpgsql
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  request report_attack;
  attack attacks;
  new_events new_event[] := '{}';
begin
  update attacks a set rejected_at = '-infinity'
  from unnest(requests) as r
  where r.has_ended and a.tenant_id = r.tenant_id and a.scope = r.scope and a.subject = r.subject;
  for request in select * from unnest(requests) as r where not r.has_ended order by r.tenant_id, r.scope, r.subject loop
    insert into attacks as a (tenant_id, scope, subject, rejected, microdollars, load)
    values (request.tenant_id, request.scope, request.subject, request.rejected, request.microdollars, request.load)
    on conflict (tenant_id, scope, subject) do update set
      rejected = a.rejected + excluded.rejected, microdollars = a.microdollars + excluded.microdollars,
      load = greatest(a.load, excluded.load), rejected_at = now()
    returning * into attack;
    if attack.rejected >= request.threshold
      and coalesce(attack.detected_at < now() - interval '1 hour', true) then
      update attacks a set detected_at = now()
      where a.tenant_id = request.tenant_id and a.scope = request.scope and a.subject = request.subject;
      new_events := new_events || row(request.tenant_id, request.event_id, 'attack.detected', 'auth1', request.tenant_id,
        null, null, jsonb_build_object('scope', request.scope, 'subject', request.subject, 'rejected', attack.rejected,
          'load', round(attack.load::numeric, 2)))::new_event;
    end if;
  end loop;
  perform record_events(new_events);
  perform check_deadline((select min(r.deadline) from unnest(requests) as r));
  return query select r.event_id, events_json(new_events, r.event_id, null) from unnest(requests) as r;
end
$$;
