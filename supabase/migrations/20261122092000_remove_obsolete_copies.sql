-- Copies that a new archive has replaced, to be deleted by runners.

create function public.claim_obsolete_copies(targets text[], "limit" int default 10)
returns table (id uuid, target text, repo text, path text)
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
  moment timestamptz := clock_timestamp();
begin
  return query
  with due as materialized (
    select o.id from keepstream.obsolete_copies o
    where o.run_at <= moment and o.target = any (targets)
      -- Not while a job may write there, not if the video uses the location again, and not if it
      -- may be the only copy.
      and not exists (select from keepstream.video_leases l where l.queue_id = o.queue_id)
      and exists (
        select from public.video_store s join public.video_replicas r on r.store_id = s.id
        where s.queue_id = o.queue_id and r.state = 'verified')
      and not exists (
        select from public.video_replicas r join public.video_store s on s.id = r.store_id
        where r.target = o.target and s.mal_id = o.mal_id and s.episode = o.episode
          and (r.path is null or (r.repo, r.path) = (o.repo, o.path)))
    order by o.run_at, o.id limit least(greatest(coalesce("limit", 0), 0), 100)
    for update skip locked
  )
  update keepstream.obsolete_copies o set run_at = moment + interval '10 minutes'
  from due where o.id = due.id
  returning o.id, o.target::text, o.repo::text, o.path::text;
end
$$;
comment on function public.claim_obsolete_copies(text[], int) is
  'Copies on these targets that a new archive has replaced: delete each, then call forget_obsolete_copy. Otherwise '
  'it is returned again after ten minutes.';

create function public.forget_obsolete_copy(id uuid) returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  delete from keepstream.obsolete_copies o where o.id = forget_obsolete_copy.id;
  return found;
end
$$;
comment on function public.forget_obsolete_copy(uuid) is
  'Reports an obsolete copy as deleted; returns false if a takedown has removed its row.';
