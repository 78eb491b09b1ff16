-- A verified copy without some of its sidecars stays in service. Runners add what it lacks, like
-- obsolete copies without a lease: a claim postpones the row, so that another runner tries later.
alter table public.video_replicas add column sidecars_due timestamptz;
comment on column public.video_replicas.sidecars_due is
  'When a runner next tries to add the sidecars that a verification did not find beside this copy; null if none is lacking.';
create index video_replicas_with_sidecars_due on public.video_replicas (sidecars_due, id) where sidecars_due is not null;

create function public.report_sidecars_lacking(replica_id uuid, error text default null) returns void
language plpgsql security definer set search_path = ''
as $$
begin
  update public.video_replicas r
  set sidecars_due = clock_timestamp(), error_message = keepstream.redact(report_sidecars_lacking.error)
  where r.id = report_sidecars_lacking.replica_id and r.state = 'verified';
end
$$;
comment on function public.report_sidecars_lacking(uuid, text) is
  'Reports a verified copy whose sidecars are missing or damaged: it is served on, and runners add them.';

create function public.claim_sidecar_repairs(targets text[], "limit" int default 5)
returns table (
  id uuid, store_id uuid, target text, mal_id int, episode int, file_key text, sha256 text, size_bytes bigint, sources jsonb
)
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
  moment timestamptz := clock_timestamp();
begin
  return query
  with due as materialized (
    select r.id from public.video_replicas r
    where r.sidecars_due <= moment and r.state = 'verified' and r.target = any (targets)
    order by r.sidecars_due, r.id limit least(greatest(coalesce("limit", 0), 0), 50)
    for update skip locked
  ), claimed as (
    update public.video_replicas r set sidecars_due = moment + interval '1 hour'
    from due where r.id = due.id
    returning r.*
  )
  select c.id, c.store_id, c.target::text, s.mal_id::int, s.episode::int, s.file_key::text, s.sha256::text, s.size_bytes::bigint,
    (select jsonb_agg(jsonb_build_object('id', v.id, 'target', v.target, 'repo', v.repo, 'path', v.path) order by v.id = c.id, v.verified_at, v.id)
      from public.video_replicas v where v.store_id = c.store_id and v.state = 'verified')
  from claimed c join public.video_store s on s.id = c.store_id
  order by c.id;
end
$$;
comment on function public.claim_sidecar_repairs(text[], int) is
  'Copies on these targets that lack sidecars, with all verified copies to read from: add them, then call '
  'complete_sidecar_repair. Otherwise the copy is returned again after an hour.';

create function public.complete_sidecar_repair(replica_id uuid, sha256 text, commit_oid text, direct_url text) returns boolean
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
  archive public.video_store;
  copy public.video_replicas;
begin
  select s.* into archive from public.video_store s join public.video_replicas r on r.store_id = s.id
  where r.id = complete_sidecar_repair.replica_id for no key update of s;
  update public.video_replicas r
  set commit_oid = complete_sidecar_repair.commit_oid, direct_url = complete_sidecar_repair.direct_url, sidecars_due = null,
      error_message = null, updated_at = clock_timestamp()
  where r.id = complete_sidecar_repair.replica_id and r.state = 'verified' and r.sha256 = lower(complete_sidecar_repair.sha256)
  returning * into copy;
  if not found then
    return false;
  end if;
  update public.video_store s set hf_direct_url = copy.direct_url
  where s.id = archive.id and s.hf_repo = copy.repo and s.hf_path = copy.path;
  return true;
end
$$;
comment on function public.complete_sidecar_repair(uuid, text, text, text) is
  'Reports that a copy has its sidecars, in this commit; false if it is no longer the same copy.';

revoke all on function public.report_sidecars_lacking(uuid, text) from public;
revoke all on function public.claim_sidecar_repairs(text[], int) from public;
revoke all on function public.complete_sidecar_repair(uuid, text, text, text) from public;
grant execute on function
  public.report_sidecars_lacking(uuid, text),
  public.claim_sidecar_repairs(text[], int),
  public.complete_sidecar_repair(uuid, text, text, text)
to service_role;
