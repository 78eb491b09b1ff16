-- Only the service role has access. Fails for a table or function of a later migration without
-- grants.
begin;
set local search_path = public, extensions;
select plan(15);

select ok(not exists (
    select from pg_proc p where p.pronamespace = 'public'::regnamespace and has_function_privilege(r.role, p.oid, 'execute')
  ), r.role || ': can call no API function') from (values ('anon'), ('authenticated')) r (role);
select ok(not exists (
    select from pg_proc p where p.pronamespace = 'keepstream'::regnamespace and has_function_privilege(r.role, p.oid, 'execute')
      and (r.role, p.proname) not in (('service_role', 'assert_job_invariants'), ('service_role', 'urls_are_http')) -- CHECKs of the tables that it may write
  ), r.role || ': can call no internal function') from (values ('anon'), ('authenticated'), ('service_role')) r (role);
select ok(not exists (
    select from pg_class c where c.relnamespace in ('public'::regnamespace, 'keepstream'::regnamespace) and c.relkind in ('r', 'v')
      and (has_table_privilege(r.role, c.oid, 'select, insert, update, delete, truncate, references, trigger')
        or has_any_column_privilege(r.role, c.oid, 'select, insert, update, references'))
  ), r.role || ': has no rights on tables') from (values ('anon'), ('authenticated')) r (role);
select ok(not has_schema_privilege(r.role, 'keepstream', 'usage'), r.role || ': no usage of schema keepstream')
from (values ('anon'), ('authenticated'), ('service_role')) r (role);
select ok(not exists (
    select from pg_proc p where p.pronamespace = 'public'::regnamespace and not has_function_privilege('service_role', p.oid, 'execute')
  ), 'service_role: can call every API function');
select ok(not has_table_privilege('service_role', 'public.video_queue', 'insert, update, delete, truncate'), 'service_role: writes jobs through functions');
select ok(not exists (
    select from pg_attribute a where a.attrelid = 'public.video_queue'::regclass and a.attnum > 0
      and a.attname not in ('status', 'retry_count') and has_column_privilege('service_role', a.attrelid, a.attnum, 'update')
  ), 'service_role: may update only the retry statement''s columns');
select is(array(
    select c.relname::text from pg_class c where c.relnamespace in ('public'::regnamespace, 'keepstream'::regnamespace)
      and c.relkind in ('r', 'v') and has_table_privilege('service_role', c.oid, 'insert, update, delete, truncate, references, trigger') order by 1
  ), array['catalogue', 'metadata_cache', 'providers', 'title_mappings'], 'service_role: writes the operator''s tables');
select is(array(
    select c.relname || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace in ('public'::regnamespace, 'keepstream'::regnamespace) and c.relkind in ('r', 'v')
      and c.relname not in ('catalogue', 'metadata_cache', 'providers', 'title_mappings')
      and has_column_privilege('service_role', c.oid, a.attnum, 'insert, update, references') order by 1
  ), array['video_queue.retry_count', 'video_queue.status'], 'service_role: no other column rights');

select * from finish();
rollback;
