-- Rewrites archives in another form. The new copies get a name of their own beside the old ones, which
-- are served until every new copy is verified; then one transaction changes the archive and all its
-- copies, so that a reader never finds copies with different bytes.
alter domain keepstream.event_kind drop constraint event_kind_is_known;
alter domain keepstream.event_kind add constraint event_kind_is_known check (value in (
  'enqueued', 'claimed', 'uploading', 'completed', 'failed', 'released', 'rescued', 'revived', 'rearchived',
  'cancel_requested', 'cancelled', 'source_added', 'replica_verified', 'replica_failed', 'replica_missing', 'replica_lost', 'replica_hashed',
  'promoted', 'upgraded',
  'taken_down', 'takedown_lifted'
));

alter table public.video_store
  add column upgrade_checked text,
  add constraint video_store_upgrade_checked_is_short check (length(upgrade_checked) between 1 and 40);
comment on column public.video_store.upgrade_checked is
  'The release that found that the archive has to stay a plain MP4; media.presentation says why.';

create function public.describe_source(mal_id int, episode int, provider text) returns jsonb
language sql stable security definer set search_path = ''
as $$
  select pg_catalog.jsonb_build_object(
    'rights', keepstream.declared_rights(case
      when p.recipe = 'catalogue' then c.rights
      else p.rights
    end),
    'title', c.title)
  from (select 1) one
  left join public.providers p on p.name = describe_source.provider
  left join public.catalogue c on c.mal_id = describe_source.mal_id and c.episode = describe_source.episode
$$;
comment on function public.describe_source(int, int, text) is
  'For the manifest of an archive: {rights, title}, as far as they are declared.';

create function public.upgradable_archives(release text, target text default null, after uuid default null, "limit" int default 100)
returns table (
  id uuid, mal_id int, episode int, provider text, resolution text, file_key text, sha256 text, size_bytes bigint,
  duration_seconds double precision, width int, height int, media jsonb, archived_at timestamptz, page text, copies jsonb
)
language sql stable security definer set search_path = ''
as $$
  select s.id, s.mal_id::int, s.episode::int, s.provider::text, s.resolution::text, s.file_key::text, s.sha256::text, s.size_bytes::bigint,
    s.duration_seconds, s.width, s.height, s.media, s.created_at,
    (select v.embed_url::text from public.video_candidates v where v.queue_id = s.queue_id order by v.created_at, v.id limit 1),
    (select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('id', r.id, 'target', r.target, 'repo', r.repo, 'path', r.path,
        'state', r.state) order by r.verified_at, r.id), '[]')
      from public.video_replicas r where r.store_id = s.id)
  from public.video_store s
  where coalesce(s.media -> 'presentation' ->> 'form', 'plain') = 'plain'
    and s.upgrade_checked is distinct from upgradable_archives.release
    and (upgradable_archives.after is null or s.id > upgradable_archives.after)
    and (upgradable_archives.target is null or exists (
      select from public.video_replicas r
      where r.store_id = s.id and r.target = upgradable_archives.target and r.state = 'verified'))
  order by s.id
  limit least(greatest(coalesce("limit", 0), 0), 1000)
$$;
comment on function public.upgradable_archives(text, text, uuid, int) is
  'Archives in the plain form that this release has not tried to rewrite, by id, with their copies.';

create function public.begin_archive_upgrade(store_id uuid, sha256 text, copies jsonb) returns void
language plpgsql security definer set search_path = ''
as $$
declare
  archive public.video_store;
begin
  select * into archive from public.video_store s where s.id = begin_archive_upgrade.store_id for key share;
  if not found then
    raise exception using errcode = 'PT404', message = 'no such archive';
  elsif archive.sha256 is distinct from lower(begin_archive_upgrade.sha256) then
    raise exception using errcode = 'PT409', message = 'the archive was replaced meanwhile', hint = 'stop working on it';
  end if;
  -- Copies of an upgrade that is never finished are deleted a day later.
  insert into keepstream.obsolete_copies as o (queue_id, mal_id, episode, target, account, repo, path, run_at)
  select archive.queue_id, archive.mal_id, archive.episode, c.target, c.account, c.repo, c.path, clock_timestamp() + interval '1 day'
  from jsonb_to_recordset(copies) as c (target text, account int, repo text, path text)
  where not exists (
    select from public.video_replicas r where r.store_id = archive.id and (r.target, r.repo, r.path) = (c.target, c.repo, c.path))
  on conflict on constraint obsolete_copies_one_per_location do update set run_at = excluded.run_at;
end
$$;
comment on function public.begin_archive_upgrade(uuid, text, jsonb) is
  'Announces where the new copies of an archive will be stored, before any is. Fails if its sha256 is another one.';

create function public.finish_archive_upgrade(
  store_id uuid, from_sha256 text, file_key text, sha256 text, size_bytes bigint, duration_seconds double precision,
  width int, height int, media jsonb, copies jsonb, release text default null, keep_seconds int default 86400
) returns public.video_store
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
  digest text := lower(finish_archive_upgrade.sha256);
  archive public.video_store;
  old_copies public.video_replicas[];
  is_new boolean;
  first_copy record;
  moment timestamptz;
begin
  -- Lock job, archive and copies in this order, like a takedown.
  perform from public.video_queue q where q.id = (
    select s.queue_id from public.video_store s where s.id = finish_archive_upgrade.store_id) for no key update;
  select * into archive from public.video_store s where s.id = finish_archive_upgrade.store_id for update;
  if not found then
    raise exception using errcode = 'PT404', message = 'no such archive';
  end if;
  is_new := digest <> lower(from_sha256);
  if is_new and archive.sha256 = digest and archive.file_key = finish_archive_upgrade.file_key then
    return archive; -- the response to this call was lost before
  end if;
  old_copies := array(select r from public.video_replicas r where r.store_id = archive.id order by r.id for update);
  moment := clock_timestamp();
  if archive.sha256 is distinct from lower(from_sha256) then
    raise exception using errcode = 'PT409', message = 'the archive was replaced meanwhile', hint = 'stop working on it';
  elsif is_new = (archive.file_key = finish_archive_upgrade.file_key) then
    raise exception using errcode = 'PT422', message = 'a file with other bytes needs another key, and only such a file';
  elsif exists (select from keepstream.video_leases l where l.queue_id = archive.queue_id) then
    raise exception using errcode = 'PT409', message = 'the video is being archived again';
  elsif exists (select from unnest(old_copies) o where o.state = 'uploading') then
    raise exception using errcode = 'PT409', message = 'a copy of the archive is being repaired', hint = 'try again later';
  elsif jsonb_typeof(copies) is distinct from 'array' or jsonb_array_length(copies) = 0 then
    raise exception using errcode = 'PT422', message = 'an archive needs at least one verified replica';
  elsif exists (
    select from unnest(old_copies) o
    where o.state = 'verified' and not exists (
      select from jsonb_to_recordset(copies) as c (target text) where c.target = o.target)
  ) then
    raise exception using errcode = 'PT409', message = 'a verified copy of the archive has no new one', hint = 'try again';
  elsif exists (
    select from jsonb_to_recordset(copies) as c (target text, repo text, path text)
    where not exists (select from unnest(old_copies) o where o.target = c.target)
      or (is_new and not exists (
        select from keepstream.obsolete_copies b where (b.target, b.repo, b.path) = (c.target, c.repo, c.path)))
  ) then
    raise exception using errcode = 'PT409', message = 'a new copy was not announced, or was removed meanwhile', hint = 'try again';
  end if;

  update public.video_replicas r
  set account = c.account, repo = c.repo, path = c.path, direct_url = c.direct_url, commit_oid = c.commit_oid, sha256 = digest,
      size_bytes = finish_archive_upgrade.size_bytes, state = 'verified', attempts = 0, run_at = moment, error_class = null, error_message = null,
      missing_since = null, missing_days = 0, missing_on = null, damaged = false, verified_at = moment, updated_at = moment
  from jsonb_to_recordset(copies) as c (target text, account int, repo text, path text, direct_url text, commit_oid text)
  where r.store_id = archive.id and r.target = c.target;
  if is_new then
    -- What could not be upgraded is made from the new copies.
    update public.video_replicas r
    set repo = null, path = null, direct_url = null, commit_oid = null, sha256 = null, size_bytes = null, state = 'pending', attempts = 0,
        run_at = moment, error_class = null, error_message = null, missing_since = null, missing_days = 0, missing_on = null, damaged = false,
        verified_at = null, updated_at = moment
    where r.store_id = archive.id and not exists (
      select from jsonb_to_recordset(copies) as c (target text) where c.target = r.target);
    delete from keepstream.obsolete_copies b using jsonb_to_recordset(copies) as c (target text, repo text, path text)
    where (b.target, b.repo, b.path) = (c.target, c.repo, c.path);
    -- Links that were handed out lead to the old copies until they expire.
    insert into keepstream.obsolete_copies as b (queue_id, mal_id, episode, target, account, repo, path, run_at)
    select archive.queue_id, archive.mal_id, archive.episode, o.target, o.account, o.repo, o.path,
      moment + make_interval(secs => greatest(coalesce(keep_seconds, 86400), 0))
    from unnest(old_copies) o where o.repo is not null and o.path is not null
    on conflict on constraint obsolete_copies_one_per_location do update set run_at = excluded.run_at;
  end if;

  -- The primary stays on its target.
  select c.* into first_copy
  from jsonb_to_recordset(copies) as c (target text, account int, repo text, path text, direct_url text)
  order by exists (
    select from unnest(old_copies) o where o.target = c.target and (o.repo, o.path) = (archive.hf_repo, archive.hf_path)) desc, c.target
  limit 1;
  update public.video_store s
  set file_key = finish_archive_upgrade.file_key, hf_account = coalesce(first_copy.account, s.hf_account), hf_repo = first_copy.repo,
      hf_path = first_copy.path, hf_direct_url = first_copy.direct_url, sha256 = digest, size_bytes = finish_archive_upgrade.size_bytes,
      duration_seconds = coalesce(finish_archive_upgrade.duration_seconds, s.duration_seconds),
      width = coalesce(finish_archive_upgrade.width, s.width), height = coalesce(finish_archive_upgrade.height, s.height),
      media = finish_archive_upgrade.media, upgrade_checked = finish_archive_upgrade.release
  where s.id = archive.id returning * into archive;
  insert into keepstream.events (queue_id, kind, detail)
  values (archive.queue_id, 'upgraded', jsonb_build_object('form', finish_archive_upgrade.media -> 'presentation' ->> 'form'));
  return archive;
end
$$;
comment on function public.finish_archive_upgrade(uuid, text, text, text, bigint, double precision, int, int, jsonb, jsonb, text, int) is
  'Replaces the file of an archive and all its copies at once. The old copies are deleted keep_seconds later. With '
  'the same sha256 only the description and the commits of its copies change.';

revoke all on function public.describe_source(int, int, text) from public;
revoke all on function public.upgradable_archives(text, text, uuid, int) from public;
revoke all on function public.begin_archive_upgrade(uuid, text, jsonb) from public;
revoke all on function public.finish_archive_upgrade(uuid, text, text, text, bigint, double precision, int, int, jsonb, jsonb, text, int) from public;
grant execute on function
  public.describe_source(int, int, text),
  public.upgradable_archives(text, text, uuid, int),
  public.begin_archive_upgrade(uuid, text, jsonb),
  public.finish_archive_upgrade(uuid, text, text, text, bigint, double precision, int, int, jsonb, jsonb, text, int)
to service_role;
