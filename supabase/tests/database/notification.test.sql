-- The notification's signature against the test vector of Standard Webhooks, and its failures.
begin;
set local search_path = public, extensions;
select plan(5);

select is(keepstream.sign_webhook('msg_p5jXN8AQM9LWM0D4loKWxJek', to_timestamp(1614265330), '{"test": 2432232314}', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'),
  'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=', 'sign_webhook: the specification''s test vector');
-- The test starts from an empty queue; everything is rolled back.
delete from video_queue where true;
update keepstream.notification_state set notified_at = null, request_id = null, last_error = null where true;
insert into providers (name, recipe, rights) values ('animasu', 'page', 'own work')
on conflict (name) do update set recipe = excluded.recipe, rights = excluded.rights, enabled = true;
delete from vault.secrets where name in ('runner_url', 'runner_webhook_secret');
select lives_ok($$ select public.enqueue_video(55825, 1, 'animasu', 'https://a.test/v.mp4') $$, 'enqueue: no URL in Vault → accepted');
select vault.create_secret('not a URL', 'runner_url');
select vault.create_secret('whsec_dGVzdA==', 'runner_webhook_secret');
select lives_ok($$ select public.enqueue_video(55825, 2, 'animasu', 'https://a.test/v.mp4') $$, 'enqueue: a malformed URL in Vault → accepted');
select isnt((select last_error from keepstream.notification_state), null, 'a malformed URL → recorded as last_error');
select is((select count(*) from cron.job where jobname = 'keepstream-sweep' and schedule = '30 seconds'), 1::bigint, 'pg_cron: the sweep is scheduled');

select * from finish();
rollback;
