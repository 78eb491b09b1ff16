-- The documented operator statement as a function, because the API may not write the queue's table.
create function public.retry_videos(ids uuid[] default null) returns setof public.video_queue
language sql security definer set search_path = ''
as $$
  update public.video_queue q set status = 'pending', retry_count = 0
  where q.status = 'failed' and (ids is null or q.id = any (ids))
  returning q.*
$$;
comment on function public.retry_videos(uuid[]) is 'Puts failed videos, all or those named, back in the queue with fresh attempts; returns them.';
revoke execute on function public.retry_videos(uuid[]) from public, anon, authenticated;
grant execute on function public.retry_videos(uuid[]) to service_role;
