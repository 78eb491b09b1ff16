-- Rules about a single value, each defined once. These are domains instead of CHECKs because every
-- update reads a table's CHECKs from the catalogue and compiles them again; a domain's rule stays
-- compiled and runs only when its column is written. (An update of video_queue took 0.15 ms with
-- all rules as CHECKs and 0.07 ms without.)
create domain keepstream.positive_int as int
  constraint positive_int_is_positive check (value > 0);
create domain keepstream.provider_name as varchar(20)
  constraint provider_name_is_a_slug check (value ~ '^[a-z0-9][a-z0-9_-]{0,19}$');
create domain keepstream.resolution_label as varchar(10)
  constraint resolution_label_is_a_word check (value ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,9}$');
create domain keepstream.http_url as text
  constraint http_url_is_http check (octet_length(value) <= 4096 and value ~* '^https?://[^\u0001-\u0020\u007f-\u009f]+$');
comment on domain keepstream.http_url is 'An http(s) URL of at most 4096 bytes without spaces and control characters.';
create domain keepstream.repo_name as text
  constraint repo_name_is_relative check (length(value) <= 200 and value ~ '^[A-Za-z0-9][A-Za-z0-9._/-]*$');
create domain keepstream.repo_path as text
  constraint repo_path_is_relative check (length(value) <= 400 and value ~ '^[A-Za-z0-9][A-Za-z0-9._/-]*$' and value !~ '(^|/)\.\.(/|$)');
comment on domain keepstream.repo_path is 'A relative path without "..".';
create domain keepstream.sha256_hex as text
  constraint sha256_hex_is_whole check (value ~ '^[0-9a-f]{64}$');
create domain keepstream.account_number as int
  constraint account_number_counts check (value >= 0);
create domain keepstream.media_kind as text
  constraint media_kind_is_a_word check (value ~ '^[a-z0-9_-]{1,20}$');
create domain keepstream.header_map as jsonb
  constraint header_map_is_an_object check (jsonb_typeof(value) = 'object' and octet_length(value::text) <= 8192);
create domain keepstream.target_name as text
  constraint target_name_is_a_word check (value ~ '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$');
create domain keepstream.counter as int
  constraint counter_counts check (value >= 0);
create domain keepstream.byte_count as bigint
  constraint byte_count_is_positive check (value > 0);
create domain keepstream.priority_level as smallint
  constraint priority_level_is_known check (value between 0 and 3);
create domain keepstream.job_status as text
  constraint job_status_is_known check (value in ('pending', 'downloading', 'uploading', 'ready', 'failed'));
create domain keepstream.candidate_state as text
  constraint candidate_state_is_known check (value in ('live', 'expired', 'dead'));
create domain keepstream.replica_state as text
  constraint replica_state_is_known check (value in ('pending', 'uploading', 'verified', 'failed', 'missing'));
create domain keepstream.event_kind as text
  constraint event_kind_is_known check (value in (
    'enqueued', 'claimed', 'uploading', 'completed', 'failed', 'released', 'rescued', 'revived', 'rearchived',
    'cancel_requested', 'cancelled', 'source_added', 'replica_verified', 'replica_failed', 'replica_missing', 'replica_lost', 'replica_hashed',
    'promoted',
    'taken_down', 'takedown_lifted'
  ));
