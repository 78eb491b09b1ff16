-- The documented operator statement as a function: how many it put back, however many that are (rows of an answer end at
-- the API's limit).
create function public.retry_videos(ids uuid[] default null) returns int
language plpgsql security definer set search_path = ''
as $$
declare
  failed uuid[];
  retried int;
begin
  failed := array(
    select q.id from public.video_queue q
    where q.status = 'failed' and (q.id = any (ids) or (ids is null and q.error_class is distinct from 'cancelled'))
      and keepstream.archiving_allowed(q.mal_id, q.episode, q.provider)
    order by q.mal_id, q.episode, q.provider, q.resolution for update);
  update public.video_queue q set status = 'pending', retry_count = 0 where q.id = any (failed);
  get diagnostics retried = row_count;
  return retried;
end
$$;
comment on function public.retry_videos(uuid[]) is 'Puts failed videos that may be kept – those named, or all but cancelled ones – back in the queue with fresh attempts; returns how many.';
revoke execute on function public.retry_videos(uuid[]) from public, anon, authenticated;
grant execute on function public.retry_videos(uuid[]) to service_role;
