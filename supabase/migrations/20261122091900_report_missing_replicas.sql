-- Copies that were not found where they are recorded, and copies found again.

create function public.confirm_replica_missing(replica_id uuid) returns public.video_replicas
language plpgsql security definer set search_path = ''
as $$
declare
  copy public.video_replicas;
  job uuid;
begin
  -- Lock job, archive and copy in this order, like report_replica_missing.
  select s.queue_id into job from public.video_replicas r join public.video_store s on s.id = r.store_id
  where r.id = confirm_replica_missing.replica_id;
  perform from public.video_queue q where q.id = job for no key update;
  perform from public.video_store s join public.video_replicas r on r.store_id = s.id
  where r.id = confirm_replica_missing.replica_id for update of s;
  if not found then
    raise exception using errcode = 'PT404', message = 'no such replica';
  end if;
  update public.video_replicas r
  set state = 'pending', run_at = clock_timestamp(), attempts = 0, missing_since = null, missing_days = 0, missing_on = null, damaged = false,
      verified_at = null, updated_at = clock_timestamp()
  where r.id = confirm_replica_missing.replica_id and r.state = 'missing' returning * into copy;
  if not found then
    select * into copy from public.video_replicas r where r.id = confirm_replica_missing.replica_id;
    return copy;
  end if;
  insert into keepstream.events (queue_id, kind, detail) values (job, 'replica_lost', jsonb_build_object('target', copy.target));
  return copy;
end
$$;
comment on function public.confirm_replica_missing(uuid) is
  'Confirms that a missing copy is lost: it will be created again, or the video is queued again if this was the '
  'last copy.';

-- A recorded copy was not found, or differs from the archive. The row and the archive are kept,
-- because the target may only be unavailable: another copy becomes the primary, and a repair is
-- due. Verifications on three different days confirm the loss, like an operator. The last copy is
-- kept even if it is damaged.
create function public.report_replica_missing(
  replica_id uuid, error text default null, verification boolean default false, damaged boolean default false
) returns public.video_replicas
language plpgsql security definer set search_path = ''
as $$
declare
  copy public.video_replicas;
  archive public.video_store;
  successor uuid;
  moment timestamptz;
  today date;
begin
  -- Lock job, archive and copy in this order, like a takedown: losing the last copy changes the
  -- archive and the job.
  perform from public.video_queue q where q.id = (
    select s.queue_id from public.video_replicas r join public.video_store s on s.id = r.store_id
    where r.id = report_replica_missing.replica_id) for no key update;
  select s.* into archive from public.video_store s join public.video_replicas r on r.store_id = s.id
  where r.id = report_replica_missing.replica_id for update of s;
  if not found then
    raise exception using errcode = 'PT404', message = 'no such replica';
  end if;
  select * into copy from public.video_replicas r where r.id = report_replica_missing.replica_id for update;
  moment := clock_timestamp();
  today := (moment at time zone 'utc')::date;
  select r.id into successor from public.video_replicas r
  where r.store_id = archive.id and r.state = 'verified' and r.id <> copy.id order by r.verified_at, r.id limit 1;

  if copy.state = 'verified' and (successor is not null or not report_replica_missing.damaged) then
    update public.video_replicas r
    set state = 'missing', run_at = moment, attempts = 0, missing_since = moment, missing_days = verification::int,
        missing_on = case when verification then today end, damaged = report_replica_missing.damaged,
        error_class = 'storage_missing', error_message = keepstream.redact(error), updated_at = moment
    where r.id = copy.id returning * into copy;
    insert into keepstream.events (queue_id, kind, detail)
    values (archive.queue_id, 'replica_missing', jsonb_build_object('target', copy.target));
    if successor is not null and copy.repo = archive.hf_repo and copy.path = archive.hf_path then
      perform public.promote_replica(successor);
    end if;
  elsif copy.state = 'missing' and verification and not report_replica_missing.damaged and coalesce(copy.missing_on < today, true) then
    update public.video_replicas r
    set missing_days = r.missing_days + 1, missing_on = today, updated_at = moment
    where r.id = copy.id returning * into copy;
    if copy.missing_days >= 3 then
      return public.confirm_replica_missing(copy.id);
    end if;
  elsif copy.state = 'missing' and report_replica_missing.damaged and not copy.damaged then
    update public.video_replicas r set damaged = true, updated_at = moment where r.id = copy.id returning * into copy;
  end if;
  return copy;
end
$$;
comment on function public.report_replica_missing(uuid, text, boolean, boolean) is
  'Reports a recorded copy missing or damaged: it is kept and repaired, and another copy is served. Verifications '
  'on three days confirm it.';

create function public.report_replica_found(replica_id uuid, sha256 text, size_bytes bigint) returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  archive public.video_store;
begin
  select s.* into archive from public.video_store s join public.video_replicas r on r.store_id = s.id
  where r.id = report_replica_found.replica_id for update of s;
  if not found then
    raise exception using errcode = 'PT404', message = 'no such replica';
  end if;
  update public.video_replicas r
  set state = 'verified', attempts = 0, missing_since = null, missing_days = 0, missing_on = null, damaged = false,
      error_class = null, error_message = null, verified_at = clock_timestamp(), updated_at = clock_timestamp()
  where r.id = report_replica_found.replica_id and r.state = 'missing'
    and coalesce(archive.sha256, lower(report_replica_found.sha256)) = lower(report_replica_found.sha256)
    and coalesce(archive.size_bytes, report_replica_found.size_bytes) = report_replica_found.size_bytes;
  if not found then
    return false;
  end if;
  insert into keepstream.events (queue_id, kind, detail)
  select archive.queue_id, 'replica_verified', jsonb_build_object('target', r.target) from public.video_replicas r
  where r.id = report_replica_found.replica_id;
  if not exists (
    select from public.video_replicas r
    where r.store_id = archive.id and r.state = 'verified' and r.repo = archive.hf_repo and r.path = archive.hf_path
  ) then
    perform public.promote_replica(report_replica_found.replica_id);
  end if;
  return true;
end
$$;
comment on function public.report_replica_found(uuid, text, bigint) is
  'Reports that a missing copy was read again; returns true if it matches the archive, as far as its hash and size '
  'are recorded.';

create function public.record_replica_hash(replica_id uuid, sha256 text, size_bytes bigint) returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  archive public.video_store;
begin
  if record_replica_hash.sha256 is null or record_replica_hash.size_bytes is null then
    raise exception using errcode = 'PT400', message = 'sha256 and size_bytes are required';
  end if;
  select s.* into archive from public.video_store s join public.video_replicas r on r.store_id = s.id
  where r.id = record_replica_hash.replica_id for update of s;
  if not found then
    raise exception using errcode = 'PT404', message = 'no such replica';
  end if;
  if archive.sha256 <> lower(record_replica_hash.sha256) or archive.size_bytes <> record_replica_hash.size_bytes then
    return false;
  end if;
  update public.video_store s
  set sha256 = lower(record_replica_hash.sha256), size_bytes = record_replica_hash.size_bytes
  where s.id = archive.id;
  update public.video_replicas r
  set sha256 = lower(record_replica_hash.sha256), size_bytes = record_replica_hash.size_bytes, updated_at = clock_timestamp()
  where r.id = record_replica_hash.replica_id and r.state = 'verified' and r.sha256 is null;
  if found then
    insert into keepstream.events (queue_id, kind, detail)
    select archive.queue_id, 'replica_hashed', jsonb_build_object('target', r.target) from public.video_replicas r
    where r.id = record_replica_hash.replica_id;
  end if;
  return true;
end
$$;
comment on function public.record_replica_hash(uuid, text, bigint) is
  'Records the hash and size of a copy; returns false if the archive is known to be different.';
