-- Tables, keys, indexes and checks. Run by `supabase test db` and by `deno task test`.
begin;
set local search_path = public, extensions;
select plan(83);

select has_table('public'::name, t, t || ' exists') from unnest(array['video_queue', 'video_candidates', 'video_store', 'video_replicas',
  'providers', 'catalogue', 'title_mappings', 'metadata_cache']::name[]) t;
select has_table('keepstream'::name, t, t || ' exists') from unnest(array['events', 'error_classes', 'resource_leases', 'notification_state',
  'source_lists', 'source_reads', 'provider_health', 'settings', 'client_limits', 'event_retention', 'video_leases',
  'rights_review', 'count_deltas', 'obsolete_copies']::name[]) t;
select ok(not exists (select from pg_proc p where p.proconfig::text ~ 'enable_' and p.proconfig::text !~ 'jit=off'),
  'functions with a forced plan: jit is off');
select has_view('public'::name, 'operator'::name, 'view operator exists');

-- The documented columns have their documented types; a domain counts as its base type.
create function pg_temp.base_type(relation text, name text) returns text language sql as $$
  select format_type(coalesce(nullif(t.typbasetype, 0), a.atttypid), case when t.typbasetype <> 0 then t.typtypmod else a.atttypmod end)
  from pg_attribute a join pg_type t on t.oid = a.atttypid where a.attrelid = relation::regclass and a.attname = name $$;
select is(pg_temp.base_type('public.video_queue', c.name), c.type, 'video_queue.' || c.name)
from (values ('id', 'uuid'), ('mal_id', 'integer'), ('episode', 'integer'), ('provider', 'character varying(20)'), ('video_url', 'text'),
  ('resolution', 'character varying(10)'), ('status', 'text'), ('retry_count', 'integer'), ('error_message', 'text'),
  ('created_at', 'timestamp with time zone'), ('updated_at', 'timestamp with time zone')) c (name, type);
select is(pg_temp.base_type('public.video_store', c.name), c.type, 'video_store.' || c.name)
from (values ('file_key', 'character varying(64)'), ('hf_account', 'integer'), ('hf_repo', 'text'), ('hf_path', 'text'),
  ('hf_direct_url', 'text'), ('stream_url', 'text')) c (name, type);

select ok((select i.indnullsnotdistinct and i.indisunique from pg_index i join pg_constraint c on c.conindid = i.indexrelid
  where c.conname = 'video_queue_one_job_per_video'), 'video_queue: one job per video, also without a resolution');
select ok((select i.indnullsnotdistinct and i.indisunique from pg_index i join pg_constraint c on c.conindid = i.indexrelid
  where c.conname = 'video_store_one_archive_per_video'), 'video_store: one archive per video, also without a resolution');
select is(pg_get_indexdef('public.video_queue_unfinished'::regclass),
  'CREATE INDEX video_queue_unfinished ON public.video_queue USING btree (priority, run_at, id) WHERE (finished_at IS NULL)',
  'claim index: unfinished jobs in the order of claims');
select ok(not exists (select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
    where i.indrelid = 'public.video_queue'::regclass
      and (a.attname in ('lease_expires_at', 'progress', 'updated_at', 'status', 'attempts', 'lease_token', 'last_event')
        or pg_get_expr(i.indpred, i.indrelid) ~ 'status|lease_')),
  'video_queue: no index on a column that a claim or heartbeat writes');
select ok((select reloptions @> array['fillfactor=70'] from pg_class where oid = 'public.video_queue'::regclass), 'video_queue: fillfactor leaves space for heartbeats');

select ok(c.relrowsecurity, c.relname || ' has row level security') from pg_class c
where c.relnamespace in ('public'::regnamespace, 'keepstream'::regnamespace) and c.relkind = 'r' order by c.relname;
select is((select count(*) from pg_policy where polrelid in (select oid from pg_class where relnamespace in ('public'::regnamespace, 'keepstream'::regnamespace))), 0::bigint, 'row level security: no policies');
select ok(obj_description(c.oid) is not null, c.relname || ' has a comment') from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v') order by c.relname;

select ok(not exists (select from pg_proc p where p.pronamespace in ('public'::regnamespace, 'keepstream'::regnamespace)
  and not coalesce(p.proconfig @> array['search_path=""'], false)), 'every function has an empty search_path');
select ok(not exists (select from pg_proc p where p.pronamespace = 'public'::regnamespace and obj_description(p.oid) is null),
  'every API function has a comment');

select * from finish();
rollback;
