-- Retry policy: one row per error class.
create table keepstream.error_classes (
  name text primary key,
  base_seconds int not null,
  effect text not null default 'backoff',
  counts_against_source boolean not null default true,
  about text not null,
  constraint error_class_name_is_a_word check (name ~ '^[a-z0-9_]{1,40}$'),
  constraint error_class_base_is_positive check (base_seconds > 0),
  constraint error_class_effect_is_known check (effect in ('backoff', 'retry_fixed', 'try_next_source', 'release', 'discard_source', 'dead_letter'))
);
comment on table keepstream.error_classes is 'Retry policy by error class.';
comment on column keepstream.error_classes.effect is
  'backoff: the delay doubles with each attempt; retry_fixed: base·U(1/6, 1); try_next_source: the next candidate '
  'at once, no attempt counted while one is left; release: back to pending, no attempt counted; discard_source: the '
  'candidate is not tried again, and without another one the job is a dead letter; dead_letter: the job is not '
  'retried.';
comment on column keepstream.error_classes.counts_against_source is
  'Whether a failure counts against the candidate. If false, the next attempt uses the same one.';
alter table keepstream.error_classes enable row level security;
insert into keepstream.error_classes (name, base_seconds, effect, counts_against_source, about) values
  ('network', 30, 'backoff', true, 'connection refused, reset or not resolved'),
  ('timeout', 60, 'backoff', true, 'no response or no progress in time'),
  ('upstream_5xx', 60, 'backoff', true, 'the source responded with 5xx'),
  ('storage_5xx', 60, 'backoff', false, 'the storage target responded with 5xx'),
  ('unknown', 60, 'backoff', false, 'not classified'),
  ('rate_limited', 300, 'backoff', true, 'rate limited; Retry-After takes precedence'),
  ('storage_denied', 600, 'backoff', false, 'the storage target rejected the token or key, or blocked the account'),
  ('storage_full', 600, 'backoff', false, 'no space left on the storage target'),
  ('storage_missing', 60, 'backoff', false, 'the file or its repository was not found'),
  ('storage_unidentified', 600, 'backoff', false, 'the storage target is not the recorded one: not mounted, emptied or swapped'),
  ('storage_conflict', 5, 'backoff', false, 'another commit changed the repository'),
  ('disk_full', 300, 'backoff', false, 'no space left on the runner'),
  ('lease_expired', 30, 'retry_fixed', false, 'the runner stopped sending heartbeats'),
  ('source_expired', 60, 'try_next_source', true, 'the URL no longer works'),
  ('shutdown', 1, 'release', false, 'the runner is stopping'),
  ('unsupported', 60, 'discard_source', true, 'a format that cannot be archived'),
  ('drm', 60, 'discard_source', true, 'DRM-protected media'),
  ('policy_denied', 60, 'discard_source', true, 'a URL that must not be fetched'),
  ('too_large', 60, 'discard_source', true, 'over a size limit'),
  ('invalid_input', 60, 'discard_source', true, 'an invalid URL, or a file of another type than declared'),
  ('cancelled', 60, 'dead_letter', false, 'cancelled by an operator');

-- PL/pgSQL, because Postgres plans a SQL function on every call that it cannot inline.
create function keepstream.retry_delay(base_seconds int, attempt int) returns interval
language plpgsql volatile set search_path = ''
as $$
begin
  return make_interval(secs => least(21600, base_seconds * 2 ^ least(greatest(attempt, 1) - 1, 20)) * (0.5 + 0.5 * random()));
end
$$;
comment on function keepstream.retry_delay(int, int) is 'min(6 h, base·2^(attempt-1))·U(0.5, 1).';
