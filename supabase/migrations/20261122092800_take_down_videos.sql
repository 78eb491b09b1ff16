-- Deletes all rows of a title or episode and records an event. The caller deletes the files on the
-- returned targets; a target is remembered until finish_takedown reports it clean.
create function public.takedown(mal_id int, episode int default null, targets text[] default '{}') returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  job_ids uuid[];
  leftovers jsonb;
begin
  if takedown.mal_id is null then
    raise exception using errcode = 'PT400', message = 'mal_id is required';
  end if;
  -- Functions that enqueue this title have committed before, or wait and are refused.
  perform pg_advisory_xact_lock(keepstream.title_lock_class(), takedown.mal_id);
  insert into keepstream.takedowns (mal_id, episode) values (takedown.mal_id, takedown.episode) on conflict do nothing;
  -- Before locking jobs, in the same order as save_sources.
  delete from keepstream.source_lists l
  where l.mal_id = takedown.mal_id and (takedown.episode is null or l.episode = takedown.episode);
  -- A separate statement locks the jobs, so that the next one sees what a worker recorded while
  -- this one waited.
  job_ids := array(
    select q.id from public.video_queue q
    where q.mal_id = takedown.mal_id and (takedown.episode is null or q.episode = takedown.episode)
    order by q.mal_id, q.episode, q.provider, q.resolution for update);
  with obsolete as (
    delete from keepstream.obsolete_copies o
    where o.mal_id = takedown.mal_id and (takedown.episode is null or o.episode = takedown.episode) returning *
  )
  insert into keepstream.takedown_leftovers as l (mal_id, episode, target, copies)
  select takedown.mal_id, takedown.episode, c.target,
    coalesce(jsonb_agg(jsonb_build_object('target', c.target, 'account', c.account, 'repo', c.repo, 'path', c.path)) filter (where c.repo is not null), '[]')
  from (
    select r.target, r.account, r.repo, r.path from public.video_store s join public.video_replicas r on r.store_id = s.id
    where s.queue_id = any (job_ids) and r.repo is not null
    union all
    select g.target, g.account, g.repo, g.path from obsolete g
    union all
    select distinct t.name, null::int, null, null from unnest(takedown.targets) t (name)
  ) c group by c.target
  on conflict on constraint takedown_leftovers_one_per_target do update set copies = l.copies || excluded.copies;
  select jsonb_build_object(
    'copies', coalesce((
      select jsonb_agg(c.copy) from keepstream.takedown_leftovers l cross join jsonb_array_elements(l.copies) c (copy)
      where l.mal_id = takedown.mal_id and (takedown.episode is null or l.episode = takedown.episode)), '[]'),
    'targets', coalesce((
      select jsonb_agg(distinct l.target) from keepstream.takedown_leftovers l
      where l.mal_id = takedown.mal_id and (takedown.episode is null or l.episode = takedown.episode)), '[]')
  ) into leftovers;
  insert into keepstream.events (queue_id, kind, detail)
  select d.id, 'taken_down', jsonb_build_object('mal_id', takedown.mal_id, 'episode', takedown.episode)
  from unnest(case job_ids when '{}' then array[null::uuid] else job_ids end) as d (id);
  delete from public.video_queue q where q.id = any (job_ids);
  return jsonb_build_object('jobs', cardinality(job_ids)) || leftovers;
end
$$;
comment on function public.takedown(int, int, text[]) is
  'Deletes jobs, archives and cached source lists of a title or one episode, prevents archiving it again, and '
  'records an event. Returns {jobs, copies, targets}: what to delete on which targets, including leftovers of '
  'earlier calls.';

create function public.finish_takedown(mal_id int, episode int, target text) returns void
language plpgsql security definer set search_path = ''
as $$
begin
  delete from keepstream.takedown_leftovers l
  where l.mal_id = finish_takedown.mal_id and l.target = finish_takedown.target
    and (finish_takedown.episode is null or l.episode = finish_takedown.episode);
end
$$;
comment on function public.finish_takedown(int, int, text) is
  'Reports that the target holds no file of the title or episode any more.';

create function public.lift_takedown(mal_id int, episode int default null, dry_run boolean default false) returns boolean
language plpgsql security definer set search_path = ''
as $$
begin
  if lift_takedown.dry_run then
    return exists (
      select from keepstream.takedowns t
      where t.mal_id = lift_takedown.mal_id and t.episode is not distinct from lift_takedown.episode);
  end if;
  delete from keepstream.takedowns t
  where t.mal_id = lift_takedown.mal_id and t.episode is not distinct from lift_takedown.episode;
  if not found then
    return false;
  end if;
  -- Files that were not deleted may stay.
  delete from keepstream.takedown_leftovers l
  where l.mal_id = lift_takedown.mal_id and l.episode is not distinct from lift_takedown.episode;
  insert into keepstream.events (kind, detail)
  values ('takedown_lifted', jsonb_build_object('mal_id', lift_takedown.mal_id, 'episode', lift_takedown.episode));
  return true;
end
$$;
comment on function public.lift_takedown(int, int, boolean) is
  'Allows archiving a title or an episode again and records an event; returns false if it was not taken down. A dry '
  'run changes nothing.';
