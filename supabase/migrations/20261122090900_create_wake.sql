-- The nudge: "there is work", signed, without a job, without a secret. pg_net sends it after commit and may lose it;
-- a claim that follows it is its receipt, and the sweep repeats it while work waits.
create table keepstream.wake_state (
  singleton boolean primary key default true,
  woken_at timestamptz,
  answered_at timestamptz,
  request_id bigint,
  wakes bigint not null default 0,
  failed_at timestamptz,
  last_error text,
  constraint wake_state_has_one_row check (singleton)
) with (fillfactor = 20);
comment on table keepstream.wake_state is 'The last wake, and whether a claim has followed it (answered_at).';
alter table keepstream.wake_state enable row level security;
insert into keepstream.wake_state default values;

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
  'Standard Webhooks v1 signature. whsec_<base64> is the base64''s bytes, any other secret its UTF-8 bytes.';

-- Raises when the address or the secret is missing or wrong; keepstream.request_wake turns that into a note.
create function keepstream.send_wake() returns bigint
language plpgsql security definer set search_path = ''
as $$
declare
  runner_url text;
  secret text;
  message_id text := 'msg_' || replace(gen_random_uuid()::text, '-', '');
  sent_at timestamptz := clock_timestamp();
  body jsonb := jsonb_build_object('type', 'video_queue.waiting', 'timestamp', to_char(sent_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'));
begin
  select nullif(trim(s.decrypted_secret), '') into runner_url from vault.decrypted_secrets s where s.name = 'runner_url';
  select nullif(s.decrypted_secret, '') into secret from vault.decrypted_secrets s where s.name = 'runner_webhook_secret';
  if runner_url is null or secret is null then
    raise exception using errcode = 'PT424', message = 'no wake: put runner_url and runner_webhook_secret into Vault';
  end if;
  if runner_url !~* '^https?://[^\u0001-\u0020\u007f-\u009f]+$' then
    raise exception using errcode = 'PT424', message = 'no wake: runner_url in Vault is not an http(s) address';
  end if;
  return net.http_post(
    url := regexp_replace(runner_url, '/+$', '') || '/trigger',
    body := body,
    params := '{}'::jsonb,
    headers := jsonb_build_object(
      'content-type', 'application/json',
      'webhook-id', message_id,
      'webhook-timestamp', floor(extract(epoch from sent_at))::bigint::text,
      'webhook-signature', keepstream.sign_webhook(message_id, sent_at, body::text, secret)
    ),
    timeout_milliseconds := 5000
  );
end
$$;

-- Debounced: while a wake is under way that no claim has answered, another says nothing new. Whoever keeps silent
-- holds the lock below, shared, until commit; a claim that would answer the wake takes it alone, so it cannot answer
-- for a job it could not see yet (see keepstream.answer_wake).
create function keepstream.request_wake(force boolean default false) returns void
language plpgsql security definer set search_path = ''
as $$
declare
  lock_key constant bigint := 5531467712004901;
  moment timestamptz := clock_timestamp();
  request bigint;
begin
  if not force then
    if current_setting('keepstream.woken_in', true) = pg_current_xact_id()::text then
      return;
    end if;
    perform set_config('keepstream.woken_in', pg_current_xact_id()::text, true);
    perform pg_advisory_xact_lock_shared(lock_key);
    if exists (
      select from keepstream.wake_state w
      where w.answered_at is null and w.woken_at between moment - interval '5 seconds' and moment
    ) then
      return;
    end if;
  end if;
  begin
    request := keepstream.send_wake();
    -- Someone else is noting a wake of their own: ours is sent, and not worth waiting for.
    update keepstream.wake_state w
    set woken_at = moment, answered_at = null, request_id = request, wakes = w.wakes + 1, last_error = null
    where w.singleton = (select s.singleton from keepstream.wake_state s where s.singleton for update skip locked);
  exception when others then
    -- A wake is a courtesy: no address, a broken one, or no pg_net must never fail the enqueue.
    update keepstream.wake_state w
    set failed_at = moment, last_error = left(keepstream.redact(sqlerrm), 500)
    where (w.failed_at is null or w.failed_at < moment - interval '1 second' or w.last_error is distinct from left(keepstream.redact(sqlerrm), 500))
      and w.singleton = (select s.singleton from keepstream.wake_state s where s.singleton for update skip locked);
  end;
end
$$;
comment on function keepstream.request_wake(boolean) is 'Tells the runner that work waits, once per burst. Never raises.';

-- Called by a claim that came up short: whoever takes all it asked for has not seen the end of the queue, and comes
-- again. True: the wake is answered as of now, so look once more, at what is newer than the answer.
create function keepstream.answer_wake() returns boolean
language plpgsql security definer set search_path = ''
as $$
declare
  lock_key constant bigint := 5531467712004901;
  outstanding timestamptz;
begin
  select w.woken_at into outstanding from keepstream.wake_state w where w.woken_at is not null and w.answered_at is null;
  if outstanding is null then
    return false;
  end if;
  if pg_try_advisory_xact_lock(lock_key) then
    update keepstream.wake_state w set answered_at = clock_timestamp() where w.answered_at is null;
    return true;
  elsif outstanding < clock_timestamp() - interval '1 second' then
    -- A long enqueue is still uncommitted and has kept silent: have the runner come again.
    perform keepstream.request_wake(force := true);
  end if;
  return false;
end
$$;

-- pg_net's tables are another extension's: whatever is wrong with them is what is told.
create function keepstream.last_notification() returns jsonb
language plpgsql volatile security definer set search_path = '' set lock_timeout = '80ms'
as $$
declare
  wake keepstream.wake_state;
  outcome jsonb;
begin
  select * into wake from keepstream.wake_state;
  if wake.last_error is not null then
    return jsonb_build_object('at', wake.failed_at, 'status_code', null, 'error', wake.last_error);
  elsif wake.woken_at is null then
    return null;
  end if;
  select jsonb_build_object('at', r.created, 'status_code', r.status_code, 'error', r.error_msg) into outcome
  from net._http_response r where r.id = wake.request_id;
  return coalesce(outcome, jsonb_build_object('at', wake.woken_at, 'status_code', null, 'error', null));
exception when query_canceled or assert_failure or others then
  return jsonb_build_object('at', wake.woken_at, 'status_code', null, 'error', 'pg_net cannot be read: ' || sqlerrm);
end
$$;
comment on function keepstream.last_notification() is 'What came of the last wake: {at, status_code, error}; null when there was none.';

create function keepstream.wake_for_new_jobs() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if exists (select from inserted) then
    perform keepstream.request_wake();
  end if;
  return null;
end
$$;
create trigger video_queue_wakes_on_insert after insert on public.video_queue
  referencing new table as inserted for each statement execute function keepstream.wake_for_new_jobs();
