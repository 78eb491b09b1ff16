-- pg_cron 1.6 for a Postgres without it. Same tables, functions and schedule grammar; commands are run by
-- dev/emulators/supabase/cron_worker.ts. After pg_cron's own SQL (https://github.com/citusdata/pg_cron, PostgreSQL licence).
create schema cron;
create sequence cron.jobid_seq;
create sequence cron.runid_seq;

create table cron.job (
  jobid bigint primary key default pg_catalog.nextval('cron.jobid_seq'),
  schedule text not null,
  command text not null,
  nodename text not null default 'localhost',
  nodeport int not null default pg_catalog.inet_server_port(),
  database text not null default pg_catalog.current_database(),
  username text not null default current_user,
  active boolean not null default true,
  jobname text,
  constraint jobname_username_uniq unique (jobname, username)
);
grant select on cron.job to public;
alter table cron.job enable row level security;
create policy cron_job_policy on cron.job using (username operator(pg_catalog.=) current_user);

create table cron.job_run_details (
  jobid bigint,
  runid bigint primary key default pg_catalog.nextval('cron.runid_seq'),
  job_pid integer,
  database text,
  username text,
  command text,
  status text,
  return_message text,
  start_time timestamptz,
  end_time timestamptz
);
grant select, delete on cron.job_run_details to public;
alter table cron.job_run_details enable row level security;
create policy cron_job_run_details_policy on cron.job_run_details using (username operator(pg_catalog.=) current_user);

-- One field of a crontab line: '*', '*/5', '1-9/2', 'mon,wed'.
create function cron._field_is_valid(field text, low int, high int, names text[]) returns boolean language plpgsql immutable
set search_path = pg_catalog as $$
declare
  part text;
  bounds text[];
  low_bound int;
  high_bound int;
begin
  foreach part in array string_to_array(lower(field), ',') loop
    if part ~ '^\*(/[0-9]{1,4})?$' then
      if split_part(part, '/', 2) = '0' then return false; end if;
      continue;
    end if;
    bounds := regexp_match(part, '^([a-z]{3}|[0-9]{1,4})(-([a-z]{3}|[0-9]{1,4})(/([0-9]{1,4}))?)?$');
    if bounds is null then return false; end if;
    low_bound := coalesce(array_position(names, bounds[1]) - 1 + low, case when bounds[1] ~ '^[0-9]' then bounds[1]::int end);
    high_bound := coalesce(array_position(names, bounds[3]) - 1 + low, case when bounds[3] ~ '^[0-9]' then bounds[3]::int end, low_bound);
    if low_bound is null or low_bound < low or high_bound > high or low_bound > high_bound or bounds[5] ~ '^0+$' then
      return false;
    end if;
  end loop;
  return true;
end
$$;

create function cron._schedule_is_valid(schedule text) returns boolean language plpgsql immutable
set search_path = pg_catalog as $$
declare
  fields text[];
begin
  if schedule ~* '^\s*[0-9]+\s+seconds?\s*$' then
    return substring(schedule from '[0-9]+')::numeric between 1 and 59;
  elsif schedule ~ '^\s*@' then
    return lower(trim(schedule)) in ('@reboot', '@restart', '@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly');
  end if;
  fields := regexp_split_to_array(trim(schedule), '\s+');
  return cardinality(fields) = 5
    and cron._field_is_valid(fields[1], 0, 59, '{}')
    and cron._field_is_valid(fields[2], 0, 23, '{}')
    and (fields[3] = '$' or cron._field_is_valid(fields[3], 1, 31, '{}'))
    and cron._field_is_valid(fields[4], 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}')
    and cron._field_is_valid(fields[5], 0, 7, '{sun,mon,tue,wed,thu,fri,sat}');
end
$$;

create function cron._check_schedule(schedule text) returns void language plpgsql as $$
begin
  if not cron._schedule_is_valid(schedule) then
    raise exception using
      errcode = '22023',
      message = format('invalid schedule: %s', schedule),
      hint = 'Use cron format (e.g. 5 4 * * *), or interval format ''[1-59] seconds''';
  end if;
end
$$;

create function cron.schedule_in_database(
  job_name text, schedule text, command text, database text, username text default null, active boolean default true
) returns bigint language plpgsql security definer set search_path = pg_catalog as $$
declare
  owner text := coalesce(username, session_user);
  id bigint;
begin
  perform cron._check_schedule(schedule);
  insert into cron.job (schedule, command, database, username, active, jobname)
  values (schedule, command, database, owner, active, job_name)
  on conflict on constraint jobname_username_uniq do update
    set schedule = excluded.schedule, command = excluded.command, database = excluded.database, active = excluded.active
  returning jobid into id;
  perform pg_notify('pg_cron_changed', '');
  return id;
end
$$;
revoke execute on function cron.schedule_in_database(text, text, text, text, text, boolean) from public;

-- In C the caller is the current user; a security definer function needs it as an argument.
create function cron._schedule_as(owner text, job_name text, schedule text, command text) returns bigint language sql security definer
set search_path = pg_catalog as $$
  select cron.schedule_in_database(job_name, schedule, command, current_database()::text, owner)
$$;

create function cron.schedule(job_name text, schedule text, command text) returns bigint language sql strict
set search_path = pg_catalog as $$
  select cron._schedule_as(current_user::text, job_name, schedule, command)
$$;

create function cron.schedule(schedule text, command text) returns bigint language sql strict
set search_path = pg_catalog as $$
  select cron._schedule_as(current_user::text, null, schedule, command)
$$;

create function cron.unschedule(job_id bigint) returns bool language plpgsql strict security definer
set search_path = pg_catalog as $$
begin
  delete from cron.job where jobid = job_id and username = session_user;
  if not found then
    raise exception using errcode = 'XX000', message = format('could not find valid entry for job ''%s''', job_id);
  end if;
  perform pg_notify('pg_cron_changed', '');
  return true;
end
$$;

create function cron.unschedule(job_name text) returns bool language plpgsql strict security definer
set search_path = pg_catalog as $$
begin
  delete from cron.job where jobname = job_name and username = session_user;
  if not found then
    raise exception using errcode = 'XX000', message = format('could not find valid entry for job ''%s''', job_name);
  end if;
  perform pg_notify('pg_cron_changed', '');
  return true;
end
$$;

create function cron.alter_job(
  job_id bigint, schedule text default null, command text default null, database text default null,
  username text default null, active boolean default null
) returns void language plpgsql security definer set search_path = pg_catalog as $$
begin
  if alter_job.schedule is not null then perform cron._check_schedule(alter_job.schedule); end if;
  update cron.job set
    schedule = coalesce(alter_job.schedule, job.schedule),
    command = coalesce(alter_job.command, job.command),
    database = coalesce(alter_job.database, job.database),
    username = coalesce(alter_job.username, job.username),
    active = coalesce(alter_job.active, job.active)
  where jobid = job_id and job.username = session_user;
  if not found then
    raise exception using errcode = 'XX000', message = format('Job %s does not exist or you don''t own it', job_id);
  end if;
  perform pg_notify('pg_cron_changed', '');
end
$$;
revoke execute on function cron.alter_job(bigint, text, text, text, text, boolean) from public;

-- As Supabase does after `create extension pg_cron`.
grant usage on schema cron to postgres with grant option;
grant all on all functions in schema cron to postgres with grant option;
grant all on all tables in schema cron to postgres with grant option;
revoke all on table cron.job from postgres;
grant select on table cron.job to postgres with grant option;
