-- The cache of what providers said, shared by every isolate.
create table keepstream.source_lists (
  mal_id keepstream.positive_int not null,
  episode keepstream.positive_int not null,
  provider keepstream.provider_name not null,
  state text not null,
  code text,
  servers jsonb not null default '[]',
  fetched_at timestamptz not null default now(),
  failures keepstream.counter not null default 0,
  due_seconds int not null default 1200,
  primary key (mal_id, episode, provider),
  constraint source_lists_servers_are_a_list check (jsonb_typeof(servers) = 'array' and octet_length(servers::text) <= 1048576),
  constraint source_lists_urls_are_http check (keepstream.urls_are_http(servers))
) with (fillfactor = 80);
comment on table keepstream.source_lists is 'The servers each provider named for an episode, when, or the code of its failure.';
comment on column keepstream.source_lists.failures is 'Looks in a row that found nothing.';
comment on column keepstream.source_lists.due_seconds is 'Seconds after fetched_at from when the provider is worth another look.';
create index source_lists_age on keepstream.source_lists (fetched_at);
alter table keepstream.source_lists enable row level security;
