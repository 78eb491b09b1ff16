-- The notification: a signed POST without a job or a secret. pg_net sends it after commit and may lose it. The next claim
-- acknowledges it; the sweep repeats it while jobs are due.
create table keepstream.notification_state (
  singleton boolean primary key default true,
  notified_at timestamptz,
  acked_at timestamptz,
  request_id bigint,
  sent_count bigint not null default 0,
  failed_at timestamptz,
  last_error text,
  responded_at timestamptz,
  status_code int,
  response_error text,
  constraint notification_state_has_one_row check (singleton)
) with (fillfactor = 20);
comment on table keepstream.notification_state is 'The last notification, and when a claim acknowledged it (acked_at).';
comment on column keepstream.notification_state.responded_at is
  'When the last response arrived; its result is in status_code and response_error.';
alter table keepstream.notification_state enable row level security;
insert into keepstream.notification_state default values;

create function keepstream.sign_webhook(id text, sent_at timestamptz, body text, secret text) returns text
language sql immutable parallel safe set search_path = ''
as $$
  select 'v1,' || pg_catalog.encode(
    extensions.hmac(
      pg_catalog.convert_to(id || '.' || pg_catalog.floor(extract(epoch from sent_at))::bigint || '.' || body, 'UTF8'),
      case when secret like 'whsec\_%'
        then pg_catalog.decode(pg_catalog.substr(secret, 7), 'base64')
        else pg_catalog.convert_to(secret, 'UTF8')
      end,
      'sha256'),
    'base64')
$$;
comment on function keepstream.sign_webhook(text, timestamptz, text, text) is
  'Standard Webhooks v1 signature. A secret whsec_<base64> stands for the decoded bytes, any other for its UTF-8 '
  'bytes.';

-- Raises if the URL or a secret is missing or malformed; keepstream.notify_runner records the
-- message.
create function keepstream.send_notification() returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  runner_url text;
  secret text;
  hub_token text;
  message_id text := 'msg_' || replace(gen_random_uuid()::text, '-', '');
  sent_at timestamptz := clock_timestamp();
  body jsonb := jsonb_build_object('type', 'video_queue.waiting', 'timestamp', to_char(sent_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'));
  headers jsonb;
begin
  select max(nullif(trim(s.decrypted_secret), '')) filter (where s.name = 'runner_url'),
    max(nullif(s.decrypted_secret, '')) filter (where s.name = 'runner_webhook_secret'),
    max(nullif(trim(s.decrypted_secret), '')) filter (where s.name = 'hf_token_worker')
  into runner_url, secret, hub_token
  from vault.decrypted_secrets s where s.name in ('runner_url', 'runner_webhook_secret', 'hf_token_worker');
  if runner_url is null or secret is null then
    raise exception using errcode = 'PT424', message = 'runner_url or runner_webhook_secret is missing in Vault: set both';
  end if;
  if runner_url !~* '^https?://[^\u0001-\u0020\u007f-\u009f]+$' then
    raise exception using errcode = 'PT424', message = 'runner_url in Vault is not an http(s) URL';
  end if;
  headers := jsonb_build_object(
    'content-type', 'application/json',
    'webhook-id', message_id,
    'webhook-timestamp', floor(extract(epoch from sent_at))::bigint::text,
    'webhook-signature', keepstream.sign_webhook(message_id, sent_at, body::text, secret)
  );
  -- The Hub requires a token of its own for a private Space. It is sent to no other host.
  if hub_token is not null and runner_url ~* '^https://([a-z0-9-]+\.)+hf\.space(:443)?(/[^?#\\]*)?$' then
    if hub_token !~ '^hf_[A-Za-z0-9_]+$' then
      raise exception using errcode = 'PT424', message = 'hf_token_worker in Vault is not a Hub token (hf_…): set it again, or delete it if the Space is public';
    end if;
    headers := headers || jsonb_build_object('authorization', 'Bearer ' || hub_token);
  end if;
  return net.http_post(
    url := regexp_replace(runner_url, '/+$', '') || '/trigger',
    body := body,
    params := '{}'::jsonb,
    headers := headers,
    timeout_milliseconds := 5000
  );
end
$$;

-- pg_net deletes a request in the transaction that sends it, so until that commits the row has a
-- running deleter.
create function keepstream.is_unsent(request bigint) returns boolean
language plpgsql volatile security definer set search_path = ''
as $$
begin
  return exists (
    select from net.http_request_queue r
    where r.id = request and (r.xmax = 0 or not exists (select from pg_catalog.pg_locks l where l.transactionid = r.xmax)));
end
$$;
comment on function keepstream.is_unsent(bigint) is 'Whether pg_net has not started to send the request.';

create function keepstream.redact_hosts(message text) returns text
language sql immutable strict parallel safe set search_path = ''
as $$
  select pg_catalog.regexp_replace(pg_catalog.regexp_replace(keepstream.redact(message),
    '[a-z]+://[^[:space:]]+', '…', 'gi'), '\m([a-z0-9-]+\.)+[a-z0-9-]*[a-z][a-z0-9-]*\M(:[0-9]+)?|\m[0-9]+(\.[0-9]+){3}\M(:[0-9]+)?', '…', 'gi')
$$;
comment on function keepstream.redact_hosts(text) is
  'keepstream.redact that also removes URLs and host names: /status shows these texts without a password.';

-- Called by each sweep: pg_net deletes its responses after hours, and the next notification has
-- another request id.
create function keepstream.record_notification_response() returns void
language plpgsql security definer set search_path = '' set lock_timeout = '80ms'
as $$
begin
  update keepstream.notification_state w
  set responded_at = r.created, status_code = r.status_code,
      response_error = case when r.timed_out then 'no response within 5 seconds' else left(keepstream.redact_hosts(r.error_msg), 500) end
  from net._http_response r
  where r.id = w.request_id and r.created is distinct from w.responded_at
    and w.singleton = (select s.singleton from keepstream.notification_state s for update skip locked);
end
$$;

-- Debounced: nothing is sent while a previous notification is unsent, or unacknowledged for less
-- than five seconds. A transaction that sends nothing holds the lock below, shared, until it
-- commits. A claim that wants to acknowledge needs the lock exclusively, so it cannot acknowledge
-- on behalf of a job that it does not see yet (see keepstream.ack_notification). Best effort: a
-- missing, broken or locked dependency neither fails nor delays the calling transaction. At most
-- three lock waits of 80 ms follow one another, less than 250 ms in total.
create function keepstream.notify_runner(force boolean default false) returns void
language plpgsql security definer set search_path = '' set lock_timeout = '80ms'
as $$
declare
  lock_key constant bigint := 5531467712004901;
  moment timestamptz := clock_timestamp();
  last record; -- of keepstream.notification_state; its row type cannot be used while the table is locked
  request bigint;
  failure text;
begin
  if not force then
    if current_setting('keepstream.notified_in', true) = pg_current_xact_id()::text then
      return;
    end if;
    perform set_config('keepstream.notified_in', pg_current_xact_id()::text, true);
  end if;
  begin
    if not force then
      perform pg_advisory_xact_lock_shared(lock_key);
    end if;
    select * into last from keepstream.notification_state;
    if not force and last.acked_at is null and last.notified_at between moment - interval '5 seconds' and moment then
      return;
    elsif keepstream.is_unsent(last.request_id) then
      if force and to_regprocedure('net.wake()') is not null then
        execute 'select net.wake()'; -- the pg_net worker may have missed it
      end if;
      return;
    end if;
    request := keepstream.send_notification();
    -- If another transaction is recording its notification, skip: this one is already sent.
    update keepstream.notification_state w
    set notified_at = moment, acked_at = null, request_id = request, sent_count = w.sent_count + 1, last_error = null
    where w.singleton = (select s.singleton from keepstream.notification_state s where s.singleton for update skip locked);
    return;
  exception when query_canceled or assert_failure or others then
    failure := case sqlstate
      when '55P03' then 'pg_net, Vault or the notification state is locked'
      when '57014' then 'the statement was cancelled or timed out'
      else left(keepstream.redact_hosts(sqlerrm), 500)
    end;
  end;
  begin
    update keepstream.notification_state w
    set failed_at = moment, last_error = failure
    where (w.failed_at is null or w.failed_at < moment - interval '1 second' or w.last_error is distinct from failure)
      and w.singleton = (select s.singleton from keepstream.notification_state s where s.singleton for update skip locked);
  exception when query_canceled or assert_failure or others then
    raise warning 'keepstream: %', failure;
  end;
end
$$;
comment on function keepstream.notify_runner(boolean) is
  'Notifies the runner that jobs are due, once per burst. Never raises, and waits less than 250 ms for locks.';

-- Called by a claim that returned fewer jobs than it asked for; one that got them all claims again
-- anyway. If true, the notification is acknowledged as of now, and the claim has to look once more
-- for jobs committed since.
create function keepstream.ack_notification() returns boolean
language plpgsql security definer set search_path = '' set lock_timeout = '80ms'
as $$
declare
  lock_key constant bigint := 5531467712004901;
  last record;
begin
  select * into last from keepstream.notification_state;
  if last.notified_at is null or last.acked_at is not null or keepstream.is_unsent(last.request_id) then
    return false;
  end if;
  if pg_try_advisory_xact_lock(lock_key) then
    update keepstream.notification_state w set acked_at = clock_timestamp()
    where w.acked_at is null and w.singleton = (select s.singleton from keepstream.notification_state s for update skip locked);
    return found;
  elsif last.notified_at < clock_timestamp() - interval '1 second' then
    -- A long transaction has enqueued jobs without a notification and is not committed yet: notify
    -- again.
    perform keepstream.notify_runner(force := true);
  end if;
  return false;
exception when query_canceled or assert_failure or others then
  return false; -- acknowledging is best effort: the claim goes on
end
$$;

-- pg_net's tables belong to another extension. If they are missing or locked, the result says so.
create function keepstream.last_notification() returns jsonb
language plpgsql volatile security definer set search_path = '' set lock_timeout = '80ms'
as $$
declare
  last record;
  response record;
  error text;
begin
  select * into last from keepstream.notification_state;
  if last.last_error is not null then
    return jsonb_build_object('at', last.failed_at, 'status_code', null, 'error', last.last_error);
  elsif last.notified_at is null then
    return null;
  end if;
  select r.created as at, r.status_code, case when r.timed_out then 'no response within 5 seconds' else keepstream.redact_hosts(r.error_msg) end as error
  into response from net._http_response r where r.id = last.request_id;
  if not found then
    if last.notified_at < clock_timestamp() - interval '10 seconds' and keepstream.is_unsent(last.request_id) then
      return jsonb_build_object('at', last.notified_at, 'status_code', null, 'error', 'pg_net has not sent it: its worker is stuck or down');
    end if;
    select coalesce(last.responded_at, last.notified_at) as at, last.status_code, last.response_error as error into response;
  end if;
  error := case
    when response.error is not null then response.error
    when response.status_code in (401, 403) then 'refused: runner_webhook_secret in Vault differs from the runner''s, or hf_token_worker is not valid'
    when response.status_code = 404 then 'not found: runner_url in Vault is wrong, or names a private Space that hf_token_worker may not read'
    when response.status_code not between 200 and 299 then 'the runner refused the notification'
  end;
  return jsonb_build_object('at', response.at, 'status_code', response.status_code, 'error', error);
exception when query_canceled or assert_failure or others then
  return jsonb_build_object('at', clock_timestamp(), 'status_code', null, 'error', 'cannot be read: ' || keepstream.redact_hosts(sqlerrm));
end
$$;
comment on function keepstream.last_notification() is
  'The result of the last notification, {at, status_code, error}, without URLs; null if none was sent.';

create function keepstream.notify_of_new_jobs() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if exists (select from inserted) then
    perform keepstream.notify_runner();
  end if;
  return null;
end
$$;
create trigger video_queue_notifies_on_insert after insert on public.video_queue
  referencing new table as inserted for each statement execute function keepstream.notify_of_new_jobs();
