-- A Supabase project before its first migration: roles, schemas, default grants. Run once, as the cluster's
-- superuser supabase_admin, in one transaction. `:password` is the data folder's.
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit password :password;
create role dashboard_user nologin createdb createrole replication;
-- Not a superuser on Supabase either, so a migration without permission there fails here as well.
create role postgres login createdb createrole replication bypassrls password :password;

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role, authenticator to postgres with admin option;
grant pg_monitor, pg_read_all_data, pg_signal_backend, pg_create_subscription to postgres;
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter database postgres owner to postgres;

create schema extensions authorization postgres;
create schema vault;
create schema auth;
create extension pgcrypto with schema extensions;
create extension "uuid-ossp" with schema extensions;
create extension supabase_vault with schema vault;

grant usage on schema public, extensions, auth to postgres, anon, authenticated, service_role;
grant create on schema public to postgres;
grant create on schema extensions to postgres;

-- Default grants differ between projects: older ones grant everything to all three roles, newer ones nothing on tables.
-- These are the strictest of both (anon and authenticated get everything, service_role nothing), so that the first test
-- finds a migration that forgets a revoke or a grant.
alter default privileges for role postgres in schema public grant all on tables to anon, authenticated;
alter default privileges for role postgres in schema public grant all on sequences to anon, authenticated;
alter default privileges for role postgres in schema public grant all on functions to anon, authenticated;

create function auth.jwt() returns jsonb language sql stable as $$
  select coalesce(
    nullif(pg_catalog.current_setting('request.jwt.claim', true), ''),
    nullif(pg_catalog.current_setting('request.jwt.claims', true), '')
  )::jsonb
$$;
create function auth.role() returns text language sql stable as $$ select auth.jwt() ->> 'role' $$;
create function auth.uid() returns uuid language sql stable as $$ select (auth.jwt() ->> 'sub')::uuid $$;

-- As on Supabase, a schema change makes the REST gateway read the schema again.
create function extensions.pgrst_ddl_watch() returns event_trigger language plpgsql as $$
begin
  perform pg_catalog.pg_notify('pgrst', 'reload schema');
end
$$;
create event trigger pgrst_ddl_watch on ddl_command_end execute function extensions.pgrst_ddl_watch();
create event trigger pgrst_drop_watch on sql_drop execute function extensions.pgrst_ddl_watch();
