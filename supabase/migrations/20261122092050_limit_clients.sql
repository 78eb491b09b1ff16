-- How fast one client may ask. One timestamp per client: the moment its allowance is whole again.
create unlogged table keepstream.client_limits (
  client text primary key,
  full_at timestamptz not null
) with (fillfactor = 50);
comment on table keepstream.client_limits is 'Rate limit per client, which is kept as a hash. Unlogged: losing it costs nothing.';
create index client_limits_age on keepstream.client_limits (full_at);
alter table keepstream.client_limits enable row level security;

create function keepstream.count_request(client text) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  bucket text := encode(sha256(convert_to(client, 'UTF8')), 'base64');
  moment timestamptz := clock_timestamp();
  allowance int;
  step interval;
  full_at timestamptz;
begin
  select s.client_requests_per_minute, interval '1 minute' / s.client_requests_per_minute into allowance, step from keepstream.settings s;
  insert into keepstream.client_limits as c (client, full_at) values (bucket, moment + step)
  on conflict on constraint client_limits_pkey do update
    set full_at = greatest(c.full_at, moment) + step
    where greatest(c.full_at, moment) + step <= moment + interval '1 minute'
  returning c.full_at into full_at;
  if found then
    return jsonb_build_object('allowed', true, 'limit', allowance,
      'remaining', floor(extract(epoch from moment + interval '1 minute' - full_at) / extract(epoch from step))::int,
      'reset_seconds', ceil(extract(epoch from full_at - moment))::int);
  end if;
  return jsonb_build_object('allowed', false, 'limit', allowance, 'remaining', 0, 'reset_seconds', ceil(extract(epoch from step))::int);
end
$$;
comment on function keepstream.count_request(text) is 'Counts one request: {allowed, limit, remaining, reset_seconds}. A refused request costs nothing.';
