-- Copies to create or to repair: leased, retried and verified like jobs.
create function public.claim_replica_repairs("limit" int, worker text default 'runner', lease_seconds int default 600)
returns table (
  id uuid, store_id uuid, target text, repo text, path text, attempts int, lease_token uuid, lease_expires_at timestamptz,
  mal_id int, episode int, provider text, resolution text, file_key text, sha256 text, size_bytes bigint, damaged boolean, sources jsonb
)
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
  wanted constant int := least(coalesce("limit", 0), 50);
  seconds constant int := least(greatest(coalesce(lease_seconds, 600), 10), 3600);
  holder constant text := left(coalesce(nullif(trim(worker), ''), 'runner'), 100);
  moment timestamptz := clock_timestamp();
begin
  if wanted <= 0 then
    return;
  end if;
  return query
  with due as materialized (
    select r.id from public.video_replicas r
    where r.state in ('pending', 'failed', 'missing') and r.run_at <= moment and r.attempts < r.max_attempts
      -- Skip archives that are being replaced: an old file must not overwrite a new one.
      and not exists (
        select from public.video_store s join keepstream.video_leases l on l.queue_id = s.queue_id where s.id = r.store_id)
    order by r.run_at, r.id limit wanted
    for update skip locked
  ), claimed as (
    update public.video_replicas r
    set state = 'uploading', attempts = r.attempts + 1, lease_token = gen_random_uuid(), lease_owner = holder,
        lease_expires_at = moment + make_interval(secs => seconds), updated_at = moment
    from due where r.id = due.id
    returning r.*
  )
  select c.id, c.store_id, c.target::text, c.repo::text, c.path::text, c.attempts, c.lease_token, c.lease_expires_at,
    s.mal_id::int, s.episode::int, s.provider::text, s.resolution::text, s.file_key::text, s.sha256::text, s.size_bytes::bigint, c.damaged,
    (select jsonb_agg(jsonb_build_object('id', v.id, 'target', v.target, 'account', v.account, 'repo', v.repo, 'path', v.path,
        'commit_oid', v.commit_oid, 'direct_url', v.direct_url) order by v.verified_at, v.id)
      from public.video_replicas v where v.store_id = c.store_id and v.state = 'verified')
  from claimed c join public.video_store s on s.id = c.store_id
  order by c.run_at, c.id;
end
$$;
comment on function public.claim_replica_repairs(int, text, int) is
  'Leases up to limit copies to create, with the verified copies (sources) to read from.';

create function public.extend_replica_lease(ids uuid[], lease_tokens uuid[], lease_seconds int default 600)
returns table (id uuid, lease_expires_at timestamptz, lost boolean)
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
  seconds constant int := least(greatest(coalesce(lease_seconds, 600), 10), 3600);
  moment timestamptz := clock_timestamp();
begin
  if cardinality(ids) is distinct from cardinality(lease_tokens) then
    raise exception using errcode = 'PT400', message = 'ids and lease_tokens must have the same length';
  end if;
  -- Never waits: a row that another transaction has locked keeps its lease as it is, and the next
  -- heartbeat reports the outcome.
  return query
  with held as materialized (
    select r.id, r.lease_token, r.lease_expires_at from public.video_replicas r
    where (r.id, r.lease_token) in (select n.id, n.token from unnest(ids, lease_tokens) as n (id, token)) and r.lease_expires_at > moment
  ), free as materialized (
    select r.id from held h join public.video_replicas r on r.id = h.id and r.lease_token = h.lease_token
    where r.lease_expires_at > moment for no key update of r skip locked
  ), extended as (
    update public.video_replicas r
    set lease_expires_at = greatest(r.lease_expires_at, moment + make_interval(secs => seconds)), updated_at = moment
    from free where r.id = free.id
    returning r.id, r.lease_expires_at
  )
  select n.replica_id, coalesce(e.lease_expires_at, h.lease_expires_at), h.id is null
  from unnest(ids, lease_tokens) with ordinality as n (replica_id, token, place)
  left join held h on h.id = n.replica_id and h.lease_token = n.token
  left join extended e on e.id = h.id
  order by n.place;
end
$$;
comment on function public.extend_replica_lease(uuid[], uuid[], int) is
  'Heartbeat of repairs: extends leases and never shortens them; lost: stop working on the copy.';

create function public.promote_replica(replica_id uuid, stream_url text default null) returns public.video_store
language plpgsql security definer set search_path = ''
as $$
declare
  copy public.video_replicas;
  archive public.video_store;
begin
  select * into copy from public.video_replicas r where r.id = promote_replica.replica_id;
  if not found then
    raise exception using errcode = 'PT404', message = 'no such replica';
  end if;
  perform from public.video_store s where s.id = copy.store_id for update;
  select * into copy from public.video_replicas r where r.id = promote_replica.replica_id and r.state = 'verified' for share;
  if not found then
    raise exception using errcode = 'PT422', message = 'only a verified replica can become the primary';
  end if;
  update public.video_store s
  set hf_account = coalesce(copy.account, s.hf_account), hf_repo = copy.repo, hf_path = copy.path,
      hf_direct_url = coalesce(copy.direct_url, s.hf_direct_url), stream_url = coalesce(promote_replica.stream_url, s.stream_url)
  where s.id = copy.store_id returning * into archive;
  insert into keepstream.events (queue_id, kind, detail)
  values (archive.queue_id, 'promoted', jsonb_build_object('target', copy.target));
  return archive;
end
$$;
comment on function public.promote_replica(uuid, text) is
  'Makes a verified copy the primary: the one in the hf_* columns of video_store.';

create function public.complete_replica(
  id uuid, lease_token uuid, state text default 'verified', repo text default null, path text default null,
  commit_oid text default null, direct_url text default null, account int default null,
  sha256 text default null, size_bytes bigint default null,
  error text default null, error_class text default null, retry_after_seconds int default null
) returns public.video_replicas
language plpgsql security definer set search_path = ''
as $$
declare
  copy public.video_replicas;
  archive public.video_store;
  policy keepstream.error_classes;
  moment timestamptz;
begin
  -- Lock the archive first: if it has lost its last copy, it is gone together with this row.
  select s.* into archive from public.video_replicas r join public.video_store s on s.id = r.store_id
  where r.id = complete_replica.id for no key update of s;
  select * into copy from public.video_replicas r where r.id = complete_replica.id for update;
  if not found then
    raise exception using errcode = 'PT404', message = 'no such replica';
  end if;
  moment := clock_timestamp();
  if copy.lease_token is null or copy.lease_token is distinct from complete_replica.lease_token or copy.lease_expires_at <= moment then
    raise exception using errcode = 'PT409', message = 'the lease of this replica has expired or belongs to another worker', hint = 'stop working on it';
  end if;

  if complete_replica.state = 'verified' then
    if archive.sha256 is distinct from lower(complete_replica.sha256) or archive.size_bytes is distinct from complete_replica.size_bytes then
      raise exception using errcode = 'PT422', message = 'the replica differs from the archive in sha256 or size';
    end if;
    update public.video_replicas r
    set state = 'verified', repo = coalesce(complete_replica.repo, r.repo), path = coalesce(complete_replica.path, r.path),
        commit_oid = complete_replica.commit_oid, direct_url = complete_replica.direct_url,
        account = coalesce(complete_replica.account, r.account), sha256 = archive.sha256, size_bytes = archive.size_bytes,
        attempts = 0, error_class = null, error_message = null, lease_token = null, lease_owner = null, lease_expires_at = null,
        missing_since = null, missing_days = 0, missing_on = null, damaged = false, verified_at = moment, updated_at = moment
    where r.id = copy.id returning * into copy;
    insert into keepstream.events (queue_id, kind, worker, detail)
    values (archive.queue_id, 'replica_verified', copy.lease_owner, jsonb_build_object('target', copy.target));
    -- If all copies were missing, the first one back becomes the primary.
    if not exists (
      select from public.video_replicas r
      where r.store_id = archive.id and r.state = 'verified' and r.repo = archive.hf_repo and r.path = archive.hf_path
    ) then
      perform public.promote_replica(copy.id);
    end if;
  elsif complete_replica.state in ('failed', 'pending') then
    select * into policy from keepstream.error_classes e where e.name = coalesce(complete_replica.error_class, 'unknown');
    if not found then
      select * into policy from keepstream.error_classes e where e.name = 'unknown';
    end if;
    update public.video_replicas r
    set state = case when r.missing_since is null then complete_replica.state else 'missing' end,
        attempts = case when complete_replica.state = 'pending' or policy.effect = 'release' then r.attempts - 1 else r.attempts end,
        run_at = moment + case
          when retry_after_seconds > 0 then make_interval(secs => least(retry_after_seconds, 21600))
          when complete_replica.state = 'pending' then interval '0'
          else keepstream.retry_delay(policy.base_seconds, r.attempts)
        end,
        error_class = case when complete_replica.state = 'failed' then policy.name end,
        error_message = keepstream.redact(error),
        lease_token = null, lease_owner = null, lease_expires_at = null, updated_at = moment
    where r.id = copy.id returning * into copy;
    insert into keepstream.events (queue_id, kind, error_class, detail)
    select archive.queue_id, 'replica_failed', copy.error_class, jsonb_build_object('target', copy.target, 'error', copy.error_message)
    where complete_replica.state = 'failed';
  else
    raise exception using errcode = 'PT422', message = 'state must be verified, failed or pending';
  end if;
  return copy;
end
$$;
comment on function public.complete_replica(uuid, uuid, text, text, text, text, text, int, text, bigint, text, text, int) is
  'Ends a repair: verified (with the sha256 and size of the archive), failed with an error class, or pending (given '
  'back).';

create function public.plan_replica_repairs(targets text[], "limit" int default 1000) returns int
language plpgsql security definer set search_path = ''
as $$
declare
  planned int;
begin
  -- Archives that another transaction has locked are left for the next call. Ordered, so that two
  -- calls cannot deadlock.
  insert into public.video_replicas (store_id, target)
  select m.store_id, m.target from (
    select s.id as store_id, t.target
    from public.video_store s cross join (select distinct unnest(targets) as target) t
    where not exists (select from public.video_replicas r where r.store_id = s.id and r.target = t.target)
    order by s.id, t.target
    limit least(greatest(coalesce("limit", 0), 0), 10000)
    for key share of s skip locked
  ) m
  on conflict do nothing;
  get diagnostics planned = row_count;
  return planned;
end
$$;
comment on function public.plan_replica_repairs(text[], int) is
  'Adds a pending copy for every archive without one on a target, for example a new account; returns how many.';
