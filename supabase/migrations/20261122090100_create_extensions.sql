-- HMAC, HTTP requests after commit, scheduled jobs and a secret store. The schemas are those that
-- Supabase uses, so on a hosted project each line is a no-op or turns an extension on.
create schema if not exists extensions;
create extension if not exists pgcrypto with schema extensions;
create extension if not exists pg_net with schema extensions;
create extension if not exists pg_cron with schema pg_catalog;
create extension if not exists supabase_vault with schema vault;
