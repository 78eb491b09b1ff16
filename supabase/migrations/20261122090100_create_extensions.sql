-- What the queue needs beside plain Postgres: HTTP after commit, a clock, secrets at rest, HMAC.
-- The schemas are those Supabase uses, so on a hosted project every line is a no-op or a switch.
create schema if not exists extensions;
create extension if not exists pgcrypto with schema extensions;
create extension if not exists pg_net with schema extensions;
create extension if not exists pg_cron with schema pg_catalog;
create extension if not exists supabase_vault with schema vault;
