-- What an archive contains: the video's size, its tracks, and what was chosen, converted or left out.
-- The label of a server (resolution) stays the key of a video, whatever size its file has.
alter table public.video_store
  add column width int,
  add column height int,
  add column media jsonb,
  add constraint video_store_width_is_positive check (width > 0),
  add constraint video_store_height_is_positive check (height > 0),
  add constraint video_store_media_is_an_object check (jsonb_typeof(media) = 'object'),
  add constraint video_store_media_is_small check (octet_length(media::text) <= 65536);
comment on column public.video_store.width is
  'Width of the video in pixels, by the verified file. null: archived before it was recorded, or no video.';
comment on column public.video_store.height is
  'Height of the video in pixels, by the verified file.';
comment on column public.video_store.media is
  '{tracks, variant, converted, left_out}: what the file contains, which variant was archived and why, what was '
  'converted, and what was left out.';

-- Another signature: with two functions of one name, a call by name would be ambiguous.
drop function public.upsert_video_store(int, int, text, text, text, int, text, text, text, text, uuid, text, bigint, double precision, jsonb);
create function public.upsert_video_store(
  mal_id int, episode int, provider text, resolution text, file_key text,
  hf_account int, hf_repo text, hf_path text, hf_direct_url text, stream_url text default null,
  lease_token uuid default null, sha256 text default null, size_bytes bigint default null,
  duration_seconds double precision default null, replicas jsonb default null,
  width int default null, height int default null, media jsonb default null
) returns public.video_store
language plpgsql security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  label text := nullif(upsert_video_store.resolution, '');
  token uuid := upsert_video_store.lease_token;
  digest text := lower(upsert_video_store.sha256);
  job public.video_queue;
  archive public.video_store;
  old_copies public.video_replicas[];
  moment timestamptz;
begin
  select * into job from public.video_queue q
  where q.mal_id = upsert_video_store.mal_id and q.episode = upsert_video_store.episode and q.provider = upsert_video_store.provider
    and (q.resolution = label or (q.resolution is null and label is null))
  for update;
  if not found then
    raise exception using errcode = 'PT404', message = 'no such job';
  end if;
  moment := clock_timestamp();

  if job.status = 'ready' then
    -- The response to this call was lost before: return the row again.
    select * into archive from public.video_store s
    where s.queue_id = job.id and s.lease_token = token and s.sha256 is not distinct from digest;
    if found then
      return archive;
    end if;
  end if;
  if token is null then
    perform keepstream.raise_missing_token();
  elsif job.lease_token is null or job.lease_token is distinct from token or job.lease_expires_at <= moment then
    raise exception using errcode = 'PT409', message = 'the lease of this job has expired or belongs to another worker', hint = 'stop working on it';
  elsif job.cancel_requested_at is not null then
    raise exception using errcode = 'PT409', message = 'the job was cancelled', hint = 'report it as failed';
  elsif job.status <> 'uploading' then
    raise exception using errcode = 'PT422', message = format('a job cannot go from %s to ready', job.status), hint = 'report uploading first';
  elsif jsonb_typeof(replicas) not in ('array', 'null') then
    raise exception using errcode = 'PT400', message = 'replicas must be an array';
  elsif not keepstream.archiving_allowed(job.mal_id, job.episode, job.provider) then
    raise exception using errcode = 'PT403', message = keepstream.missing_rights_message(), hint = 'report it as failed';
  end if;

  insert into public.video_store as s (
    mal_id, episode, provider, resolution, file_key, hf_account, hf_repo, hf_path, hf_direct_url, stream_url,
    queue_id, lease_token, sha256, size_bytes, duration_seconds, width, height, media)
  values (
    job.mal_id, job.episode, job.provider, job.resolution, upsert_video_store.file_key, coalesce(upsert_video_store.hf_account, 0),
    upsert_video_store.hf_repo, upsert_video_store.hf_path, upsert_video_store.hf_direct_url, upsert_video_store.stream_url,
    job.id, token, digest, upsert_video_store.size_bytes, upsert_video_store.duration_seconds,
    upsert_video_store.width, upsert_video_store.height, upsert_video_store.media)
  on conflict on constraint video_store_one_archive_per_job do update
    set file_key = excluded.file_key, hf_account = excluded.hf_account, hf_repo = excluded.hf_repo, hf_path = excluded.hf_path,
        hf_direct_url = excluded.hf_direct_url, stream_url = excluded.stream_url, created_at = moment, lease_token = excluded.lease_token,
        sha256 = excluded.sha256, size_bytes = excluded.size_bytes, duration_seconds = excluded.duration_seconds,
        width = excluded.width, height = excluded.height, media = excluded.media
  returning * into archive;
  old_copies := array(select r from public.video_replicas r where r.store_id = archive.id);

  -- Without replicas, the caller stored the one copy that the hf_* arguments name.
  insert into public.video_replicas (
    store_id, target, account, repo, path, direct_url, commit_oid, sha256, size_bytes, state, attempts,
    lease_token, lease_owner, lease_expires_at, verified_at, updated_at)
  select
    archive.id, r.target, r.account, r.repo, r.path, r.direct_url, r.commit_oid, lower(r.sha256), r.size_bytes, r.state,
    case r.state when 'uploading' then 1 else 0 end,
    case r.state when 'uploading' then token end,
    case r.state when 'uploading' then job.lease_owner end,
    case r.state when 'uploading' then moment + interval '10 minutes' end,
    case r.state when 'verified' then moment end,
    moment
  from jsonb_to_recordset(
    case when jsonb_typeof(replicas) = 'array' then replicas else jsonb_build_array(jsonb_build_object(
      'target', 'hub:' || split_part(archive.hf_repo, '/', 1), 'account', archive.hf_account, 'repo', archive.hf_repo, 'path', archive.hf_path,
      'direct_url', archive.hf_direct_url, 'sha256', archive.sha256, 'size_bytes', archive.size_bytes, 'state', 'verified'))
    end
  ) as r (target text, account int, repo text, path text, direct_url text, commit_oid text, sha256 text, size_bytes bigint, state text)
  on conflict on constraint video_replicas_one_per_target do update
    set account = excluded.account, repo = excluded.repo, path = excluded.path, direct_url = excluded.direct_url,
        commit_oid = excluded.commit_oid, sha256 = excluded.sha256, size_bytes = excluded.size_bytes, state = excluded.state,
        attempts = excluded.attempts, run_at = moment, error_class = null, error_message = null, lease_token = excluded.lease_token,
        lease_owner = excluded.lease_owner, lease_expires_at = excluded.lease_expires_at, verified_at = excluded.verified_at, updated_at = moment,
        missing_since = null, missing_days = 0, missing_on = null, damaged = false;
  if old_copies <> '{}' then
    delete from public.video_replicas r where r.store_id = archive.id and r.updated_at <> moment;
    insert into keepstream.obsolete_copies (queue_id, mal_id, episode, target, account, repo, path)
    select job.id, job.mal_id, job.episode, o.target, o.account, o.repo, o.path from unnest(old_copies) o
    where o.repo is not null and o.path is not null and not exists (
      select from public.video_replicas r where r.store_id = archive.id and (r.target, r.repo, r.path) = (o.target, o.repo, o.path))
    on conflict do nothing;
  end if;

  if not exists (select from public.video_replicas r where r.store_id = archive.id and r.state = 'verified') then
    raise exception using errcode = 'PT422', message = 'an archive needs at least one verified replica';
  elsif exists (
    select from public.video_replicas r
    where r.store_id = archive.id and r.state = 'verified'
      and (r.sha256 is distinct from archive.sha256 or r.size_bytes is distinct from archive.size_bytes)
  ) then
    raise exception using errcode = 'PT422', message = 'a verified replica differs from the archive in sha256 or size';
  elsif not exists (
    select from public.video_replicas r
    where r.store_id = archive.id and r.state = 'verified' and r.repo = archive.hf_repo and r.path = archive.hf_path
  ) then
    raise exception using errcode = 'PT422', message = 'hf_repo and hf_path must name a verified replica';
  end if;

  delete from keepstream.video_leases l where l.queue_id = job.id;
  with moved as (
    update public.video_queue q
    set status = 'ready', applied_status = 'ready', finished_at = moment, updated_at = moment, error_class = null, error_message = null,
        lease_token = null, lease_owner = null, lease_expires_at = null, progress = null, candidates = null,
        last_event = nextval('keepstream.events_id_seq')
    where q.id = job.id returning q.last_event
  )
  insert into keepstream.events (id, queue_id, at, kind, to_status, lease_epoch, worker, previous)
  select m.last_event, job.id, moment, 'completed', 'ready', job.lease_epoch, job.lease_owner, job.last_event from moved m;
  return archive;
end
$$;
comment on function public.upsert_video_store(int, int, text, text, text, int, text, text, text, text, uuid, text, bigint, double precision, jsonb, int, int, jsonb) is
  'Records an archive with its copies and makes the job ready, replacing an older archive. Repeating the call with '
  'the same lease and sha256 returns the row.';
revoke all on function public.upsert_video_store(int, int, text, text, text, int, text, text, text, text, uuid, text, bigint, double precision, jsonb, int, int, jsonb) from public;
grant execute on function public.upsert_video_store(int, int, text, text, text, int, text, text, text, text, uuid, text, bigint, double precision, jsonb, int, int, jsonb) to service_role;

create or replace function public.read_episode(
  mal_id int, episode int, client text default null, reader_seconds int default 0, refresh boolean default false
) returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = force_generic_plan
set lock_timeout = '1s' -- the caller repeats the call without counting and claiming
as $$
declare
  moment timestamptz := clock_timestamp();
  taken_down boolean := exists (
    select from keepstream.takedowns t
    where t.mal_id = read_episode.mal_id and (t.episode is null or t.episode = read_episode.episode));
  rate_limit jsonb;
  source_reads jsonb := '{}';
begin
  if read_episode.mal_id is null or read_episode.mal_id <= 0 or read_episode.episode is null or read_episode.episode <= 0 then
    raise exception using errcode = 'PT400', message = 'mal_id and episode must be positive numbers';
  end if;
  if client is not null then
    rate_limit := keepstream.count_request(client);
  end if;
  -- Skipped if every provider has a list that is not due.
  if reader_seconds > 0 and not taken_down and coalesce((rate_limit ->> 'allowed')::boolean, true) and (refresh or exists (
    select from public.providers p
    left join keepstream.source_lists l on l.mal_id = read_episode.mal_id and l.episode = read_episode.episode and l.provider = p.name
    where p.enabled and (l.provider is null or l.fetched_at + make_interval(secs => l.due_seconds) <= moment)
  )) then
    source_reads := keepstream.claim_source_reads(read_episode.mal_id, read_episode.episode, least(reader_seconds, 60), refresh);
  end if;
  return jsonb_build_object(
    'providers', (
      select coalesce(jsonb_agg(jsonb_build_object('name', p.name, 'recipe', p.recipe, 'base_url', p.base_url, 'rights', p.rights,
        'config', p.config) order by p.position, p.name), '[]')
      from public.providers p where p.enabled),
    'catalogue', (
      select jsonb_build_object('title', c.title, 'sources', c.sources, 'rights', c.rights)
      from public.catalogue c where c.mal_id = read_episode.mal_id and c.episode = read_episode.episode),
    'mappings', (
      select coalesce(jsonb_object_agg(m.provider, m.mapping), '{}')
      from public.title_mappings m
      where m.mal_id = read_episode.mal_id and (m.expires_at is null or m.expires_at > moment)),
    'source_lists', (
      select coalesce(jsonb_object_agg(l.provider, jsonb_build_object('state', l.state, 'code', l.code, 'servers', l.servers,
        'fetched_at', l.fetched_at, 'age_seconds', greatest(0, round(extract(epoch from moment - l.fetched_at)::numeric, 3)),
        'due_in_seconds', l.due_seconds - extract(epoch from moment - l.fetched_at)::int)), '{}')
      from keepstream.source_lists l
      where l.mal_id = read_episode.mal_id and l.episode = read_episode.episode),
    'source_reads', source_reads,
    'open_circuits', (
      select coalesce(jsonb_object_agg(t.provider, jsonb_build_object('code', t.code,
        'age_seconds', round(extract(epoch from moment - t.failed_at)::numeric, 3),
        'due_in_seconds', extract(epoch from t.due_at - moment)::int)), '{}')
      from keepstream.provider_health t where t.failures >= 3),
    'store', (
      select coalesce(jsonb_agg(jsonb_build_object('provider', s.provider, 'resolution', s.resolution, 'file_key', s.file_key,
        'hf_account', s.hf_account, 'hf_repo', s.hf_repo, 'hf_path', s.hf_path, 'hf_direct_url', s.hf_direct_url,
        'stream_url', s.stream_url, 'size_bytes', s.size_bytes, 'sha256', s.sha256, 'duration_seconds', s.duration_seconds,
        'width', s.width, 'height', s.height, 'media', s.media,
        'replicas', (
          select coalesce(jsonb_agg(jsonb_build_object('id', r.id, 'target', r.target, 'account', r.account, 'repo', r.repo, 'path', r.path,
            'commit_oid', r.commit_oid, 'direct_url', r.direct_url) order by r.verified_at, r.id), '[]')
          from public.video_replicas r where r.store_id = s.id and r.state = 'verified')
        ) order by s.provider, s.resolution), '[]')
      from public.video_store s where s.mal_id = read_episode.mal_id and s.episode = read_episode.episode),
    'queue', (
      select coalesce(jsonb_agg(jsonb_build_object('id', q.id, 'provider', q.provider, 'resolution', q.resolution, 'status', q.status,
        'progress', q.progress, 'error_class', q.error_class, 'terminal_at', q.terminal_at) order by q.provider, q.resolution), '[]')
      from public.video_queue q where q.mal_id = read_episode.mal_id and q.episode = read_episode.episode),
    'taken_down', taken_down,
    'rate_limit', rate_limit
  );
end
$$;
