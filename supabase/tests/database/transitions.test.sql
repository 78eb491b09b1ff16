-- One video from enqueue to ready, each refusal on the way, and the operator's statements.
begin;
set local search_path = public, extensions;
select plan(44);

-- The test starts from an empty queue; everything is rolled back.
delete from video_queue where true;
delete from keepstream.events where true;
insert into providers (name, recipe, rights) values ('animasu', 'page', 'own work')
on conflict (name) do update set recipe = excluded.recipe, rights = excluded.rights, enabled = true;
create temporary table held (token uuid, id uuid) on commit drop;
create function pg_temp.call(status text, token uuid, class text default null) returns text language sql
as $$ select (public.update_video_queue_status((select id from held), status, 'text', token, class)).status $$;

select lives_ok($$ select public.enqueue_video(55825, 1, 'animasu', 'https://a.test/v.mp4', '720p') $$, 'enqueue: a new video → accepted');
select is((select array_agg(status::text) from video_queue), array['pending'], 'enqueue: a new video → pending');
select lives_ok($$ select public.enqueue_video(55825, 1, 'animasu', 'https://a.test/v.mp4', '720p') $$, 'enqueue: the same URL → accepted');
select is((select count(*) from video_queue), 1::bigint, 'enqueue: the same URL → the same job');
select throws_ok($$ select public.enqueue_video(0, 1, 'animasu', 'https://a.test/v.mp4') $$, 'PT400', null, 'enqueue: mal_id 0 → 400');
select throws_ok($$ select public.enqueue_video(1, -5, 'animasu', 'https://a.test/v.mp4') $$, 'PT400', null, 'enqueue: episode -5 → 400');
select throws_ok($$ select public.enqueue_video(1, 1, '../../x', 'https://a.test/v.mp4') $$, 'PT400', null, 'enqueue: provider ../../x → 400');
select throws_ok($$ select public.enqueue_video(1, 1, 'animasu', 'https://a.test/v.mp4', '<script>') $$, 'PT400', null, 'enqueue: resolution <script> → 400');
select throws_ok($$ select public.enqueue_video(1, 1, 'animasu', '--x') $$, 'PT400', null, 'enqueue: URL --x → 400');

select is_empty('select * from public.claim_pending_videos(null)', 'claim: limit null → nothing');
select is_empty('select * from public.claim_pending_videos(-1)', 'claim: limit -1 → nothing');
insert into held select lease_token, id from public.claim_pending_videos(1, 'pgtap');
select is((select count(*) from held), 1::bigint, 'claim: limit 1 → one job');
select is((select (status, attempts, lease_epoch, lease_owner)::text from video_queue), '(downloading,1,1,pgtap)', 'claim: the job is downloading');
select is_empty('select * from public.claim_pending_videos(50)', 'claim: a leased job → nothing');

select throws_ok($$ select pg_temp.call('uploading', gen_random_uuid()) $$, 'PT409', null, 'report: another token → 409');
select throws_like($$ select pg_temp.call('uploading', null) $$, 'lease_token is missing%', 'report: no token → refused');
select throws_ok($$ select public.update_video_queue_status(gen_random_uuid(), 'failed') $$, 'PT404', null, 'report: an unknown job → 404');
select throws_ok($$ select pg_temp.call('ready', token) from held $$, 'PT422', null, 'report: ready → 422');
select throws_ok($$ select pg_temp.call('lost', token) from held $$, 'PT422', null, 'report: an unknown status → 422');
select is((select lost from held, public.extend_video_lease(array[held.id], array[held.token])), false, 'heartbeat: own token → not lost');
select is((select lost from held, public.extend_video_lease(array[held.id], array[gen_random_uuid()])), true, 'heartbeat: another token → lost');
select is((select pg_temp.call('uploading', token) from held), 'uploading', 'report: uploading → uploading');
select throws_ok($$ select pg_temp.call('downloading', token) from held $$, 'PT422', null, 'report: uploading back to downloading → 422');

create function pg_temp.archive(token uuid, sha text, copies jsonb default null) returns uuid language sql as $$
  select (public.upsert_video_store(55825, 1, 'animasu', '720p', repeat('ab', 16), 1, 'user/media', '55825/ep1/x.mp4',
    'https://hub.test/x.mp4', null, token, sha, 4, 1.5, copies)).id $$;
select throws_ok($$ select pg_temp.archive(gen_random_uuid(), repeat('ab', 32)) $$, 'PT409', null, 'archive: another lease → 409');
select throws_like($$ select pg_temp.archive(null, repeat('ab', 32)) $$, 'lease_token is missing%', 'archive: no token → refused');
select throws_ok($$ select pg_temp.archive(token, repeat('ab', 32), '[]') from held $$, 'PT422', null, 'archive: no copy → 422');
select lives_ok($$ select pg_temp.archive(token, repeat('ab', 32)) from held $$, 'archive: a verified copy → accepted');
select is((select (status, lease_token, error_message)::text from video_queue), '(ready,,)', 'archive: the job is ready');
select lives_ok($$ select pg_temp.archive(token, repeat('ab', 32)) from held $$, 'archive: repeated → accepted');
select throws_ok($$ select pg_temp.archive(token, repeat('cd', 32)) from held $$, 'PT409', null, 'archive: another file under the ended lease → 409');
select is((select count(*) from video_store), 1::bigint, 'archive: one store row');
select throws_ok($$ select public.cancel_video(id) from held $$, 'PT422', null, 'cancel: a ready job → 422');
select is_empty('select * from public.claim_pending_videos(50)', 'claim: a ready job → nothing');
select is((select array_agg(kind::text order by id) from keepstream.events), array['enqueued', 'claimed', 'uploading', 'completed'], 'events: enqueued to completed');

select lives_ok($$ update video_queue set status = 'pending' where status = 'ready' $$, 're-archive: by an UPDATE → accepted');
select is((select count(*) from video_store), 1::bigint, 're-archive: the store row stays');
delete from held where true;
insert into held select lease_token, id from public.claim_pending_videos(1, 'pgtap');
select is((select pg_temp.call('failed', token, 'network') from held), 'failed', 'report: failed(network) → failed');
select ok((select run_at > now() and terminal_at is null and error_class = 'network' and retry_count = 1 from video_queue), 'report: failed(network) → backoff');
update video_queue set run_at = now() where true;
delete from held where true;
insert into held select lease_token, id from public.claim_pending_videos(1, 'pgtap');
select is((select pg_temp.call('failed', token, 'drm') from held), 'failed', 'report: failed(drm) → failed');
select ok((select terminal_at is not null from video_queue), 'report: failed(drm) → dead letter');
select lives_ok($$ update video_queue set status = 'pending', retry_count = 0 where status = 'failed' $$, 'retry: by an UPDATE → accepted');
select is((select (status, attempts, retry_count, terminal_at)::text from video_queue), '(pending,0,0,)', 'retry: attempts start over');
select throws_ok($$ update video_queue set status = 'ready' where true $$, 'PT422', null, 'ready: set by an UPDATE → 422');
select is((select (status, error_class)::text from public.cancel_video((select id from held))), '(failed,cancelled)', 'cancel: a waiting job → failed(cancelled)');

select * from finish();
rollback;
