-- pg_net 0.20 for a Postgres without it. Same functions, tables, defaults and errors; requests are sent by
-- dev/emulators/supabase/net_worker.ts. `notify` wakes it after a commit, where the original sets a latch.
-- Based on pg_net's own SQL (https://github.com/supabase/pg_net, Apache-2.0); C functions are rewritten in plpgsql.
create schema net;

create domain net.http_method as text
  check (value ilike 'get' or value ilike 'post' or value ilike 'delete');

create unlogged table net.http_request_queue (
  id bigserial,
  method net.http_method not null,
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds int not null
);

create unlogged table net._http_response (
  id bigint,
  status_code integer,
  content_type text,
  headers jsonb,
  content text,
  timed_out bool,
  error_msg text,
  created timestamptz not null default now()
);
create index on net._http_response (created);

create function net._urlencode_string(string varchar) returns text language sql immutable strict
set search_path = pg_catalog as $$
  select coalesce(string_agg(
    case when chr(byte) ~ '[A-Za-z0-9._~-]' and byte < 128 then chr(byte) else '%' || upper(lpad(to_hex(byte), 2, '0')) end,
    '' order by position), '')
  from (
    select get_byte(convert_to(string, 'UTF8'), position) as byte, position
    from generate_series(0, octet_length(convert_to(string, 'UTF8')) - 1) as position
  ) as bytes
$$;

create function net._encode_url_with_params_array(url text, params_array text[]) returns text language plpgsql immutable strict
set search_path = pg_catalog as $$
declare
  scheme text := lower(substring(url from '^([A-Za-z][A-Za-z0-9+.-]*)://'));
  parts text[] := regexp_match(url, '^([^?#]*)(\?[^#]*)?(#.*)?$');
  query text;
begin
  if scheme is null then
    raise exception 'invalid URL "%": Bad scheme', url;
  elsif scheme not in ('http', 'https', 'ftp', 'file') then
    raise exception 'invalid URL "%": Unsupported URL scheme', url;
  elsif url ~ '[\x01-\x20\x7f]' then
    raise exception 'invalid URL "%": Malformed input to a URL function', url;
  elsif url !~ '^[A-Za-z]+://([^/?#@]*@)?(\[[0-9A-Fa-f:.]+\]|[^][/?#@:\\]+)(:[0-9]*)?([/?#]|$)' then
    raise exception 'invalid URL "%": No host part in the URL', url;
  elsif substring(url from '^[A-Za-z]+://[^/?#]*:([0-9]+)([/?#]|$)')::numeric > 65535 then
    raise exception 'invalid URL "%": Port number was not a decimal number between 0 and 65535', url;
  end if;
  query := coalesce(parts[2], '');
  if cardinality(params_array) > 0 then
    query := case when length(query) > 1 then query || '&' else '?' end || array_to_string(params_array, '&');
  end if;
  if parts[1] ~ '^[A-Za-z]+://[^/]*$' then parts[1] := parts[1] || '/'; end if;
  return parts[1] || query || coalesce(parts[3], '');
end
$$;

create function net.wake() returns void language sql as $$ select pg_catalog.pg_notify('pg_net_wake', '') $$;

create function net.worker_restart() returns bool language sql as $$ select true $$;

create function net.check_worker_is_up() returns void language plpgsql as $$
begin
  if not exists (select pid from pg_stat_activity where application_name ilike '%pg_net%') then
    raise exception using
      message = 'the pg_net background worker is not up',
      detail = 'the pg_net background worker is down due to an internal error and cannot process requests',
      hint = 'make sure that you didn''t modify any of pg_net internal tables';
  end if;
end
$$;

create function net.http_get(
  url text,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{}'::jsonb,
  timeout_milliseconds int default 5000
) returns bigint language plpgsql as $$
declare
  request_id bigint;
  params_array text[];
begin
  select coalesce(array_agg(net._urlencode_string(key) || '=' || net._urlencode_string(value)), '{}')
  into params_array from jsonb_each_text(params);
  insert into net.http_request_queue (method, url, headers, timeout_milliseconds)
  values ('GET', net._encode_url_with_params_array(url, params_array), headers, timeout_milliseconds)
  returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

create function net.http_post(
  url text,
  body jsonb default '{}'::jsonb,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{"Content-Type": "application/json"}'::jsonb,
  timeout_milliseconds int default 5000
) returns bigint language plpgsql as $$
declare
  request_id bigint;
  params_array text[];
  content_type text;
begin
  select header_value into content_type
  from jsonb_each_text(coalesce(headers, '{}'::jsonb)) as r(header_name, header_value)
  where lower(header_name) = 'content-type' limit 1;
  if content_type is null then
    select headers || '{"Content-Type": "application/json"}'::jsonb into headers;
  end if;
  if content_type <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;
  select coalesce(array_agg(net._urlencode_string(key) || '=' || net._urlencode_string(value)), '{}')
  into params_array from jsonb_each_text(params);
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    'POST', net._encode_url_with_params_array(url, params_array), headers,
    convert_to(body::text, 'UTF8'), timeout_milliseconds
  )
  returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

create function net.http_delete(
  url text,
  params jsonb default '{}'::jsonb,
  headers jsonb default '{}'::jsonb,
  timeout_milliseconds int default 5000,
  body jsonb default null
) returns bigint language plpgsql as $$
declare
  request_id bigint;
  params_array text[];
begin
  select coalesce(array_agg(net._urlencode_string(key) || '=' || net._urlencode_string(value)), '{}')
  into params_array from jsonb_each_text(params);
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values (
    'DELETE', net._encode_url_with_params_array(url, params_array), headers,
    convert_to(body::text, 'UTF8'), timeout_milliseconds
  )
  returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

grant usage on schema net to public;
grant all on all sequences in schema net to public;
grant all on all tables in schema net to public;
