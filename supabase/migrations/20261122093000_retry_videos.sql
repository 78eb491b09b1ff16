-- The documented operator statement as a function, because the API may not write the queue's table.
create function public.retry_videos(ids uuid[] default null) returns setof public.video_queue
language sql security definer set search_path = ''
as $$
  update public.video_queue q set status = 'pending', retry_count = 0
  where q.status = 'failed' and (q.id = any (ids) or (ids is null and q.error_class is distinct from 'cancelled'))
  returning q.*
$$;
comment on function public.retry_videos(uuid[]) is 'Puts failed videos – those named, or all but cancelled ones – back in the queue with fresh attempts; returns them.';
revoke execute on function public.retry_videos(uuid[]) from public, anon, authenticated;
grant execute on function public.retry_videos(uuid[]) to service_role;
