-- At least one row in every table of 0.1.0, written as its functions and runners write them.
-- Never changes: a database of 0.1.0 looks like this, whatever the newest schema is.
select public.apply_providers(
  '[{"name": "animasu", "recipe": "page", "base_url": "https://a.test/", "rights": "own work"},
    {"name": "samehadaku", "recipe": "page", "base_url": "https://b.test/", "rights": "own work"},
    {"name": "catalogue", "recipe": "catalogue"}]', dry_run => false);
select public.import_catalogue(
  '[{"mal_id": 1, "episode": 1, "title": "One", "sources": [{"url": "https://a.test/1.mp4"}], "rights": "own work"}]', dry_run => false);
select public.save_title_mapping(1, 'animasu', '{"page": "/one/"}', by_operator => true);
select public.save_metadata('title:1', '{"name": "One"}', 3600);
select public.register_storage_target('hf-1', '4f0c1f6e-7d0e-4f8e-9d5b-000000000001');
select public.acquire_resource_lease('repo:user/media', 'runner-1', 3600);

-- Episode 1: archived, then archived again at another location, so that the first copy is obsolete.
-- Episode 2: a dead letter. Episode 3: leased. Episode 4: waiting.
do $$
declare
  job record;
  location text;
begin
  for location in select unnest(array['1/ep1/a.mp4', '1/ep1/b.mp4']) loop
    if location = '1/ep1/a.mp4' then
      perform public.enqueue_video(1, 1, 'animasu', 'https://a.test/v1.mp4', '720p');
    else
      update public.video_queue set status = 'pending' where status = 'ready';
    end if;
    select * into job from public.claim_pending_videos(1, 'runner-1');
    perform public.update_video_queue_status(job.id, 'uploading', lease_token => job.lease_token);
    perform public.upsert_video_store(1, 1, 'animasu', '720p', repeat('ab', 16), 1, 'user/media', location,
      'https://hub.test/' || location, null, job.lease_token, repeat('ab', 32), 4, 1.5);
  end loop;
  perform public.enqueue_video(1, 2, 'animasu', 'https://a.test/v2.mp4', '720p');
  select * into job from public.claim_pending_videos(1, 'runner-1');
  perform public.update_video_queue_status(job.id, 'failed', 'protected', job.lease_token, 'drm');
  perform public.enqueue_video(1, 3, 'animasu', 'https://a.test/v3.mp4', '720p');
  perform public.claim_pending_videos(1, 'runner-1', 3600);
  perform public.enqueue_video(1, 4, 'animasu', 'https://a.test/v4.mp4', '720p', 'https://a.test/embed/4');
end
$$;

select public.save_sources(1, 5, '{"animasu": {"state": "ok", "servers": []}, "samehadaku": {"state": "stale", "code": "timeout"}}');
select public.read_episode(1, 6, 'client-1', 60);
select public.takedown(9, null, array['hf-1']);
