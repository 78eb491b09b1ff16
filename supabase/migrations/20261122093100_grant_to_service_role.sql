-- Only the service role has access: it reads the exposed tables, writes what the operator
-- configures and calls the functions. On the queue it may write the two columns of the documented
-- retry statement, which a trigger checks. Everything else changes through functions, so API
-- callers cannot create an invalid state.
revoke all on all tables in schema public, keepstream from public, anon, authenticated, service_role;
revoke all on all sequences in schema public, keepstream from public, anon, authenticated, service_role;
revoke all on all functions in schema public, keepstream from public, anon, authenticated, service_role;
grant usage on schema public to service_role;
grant select on public.video_queue, public.video_candidates, public.video_store, public.video_replicas, public.operator to service_role;
grant update (status, retry_count) on public.video_queue to service_role;
grant execute on function keepstream.assert_job_invariants(public.video_queue) to service_role; -- a CHECK runs with the rights of the writing role
grant execute on function keepstream.urls_are_http(jsonb) to service_role;
grant select, insert, update, delete on public.providers, public.catalogue, public.title_mappings, public.metadata_cache to service_role;
grant execute on function
  public.enqueue_video(int, int, text, text, text, text, text, jsonb, timestamptz, int),
  public.enqueue_videos(jsonb),
  public.claim_pending_videos(int, text, int),
  public.update_video_queue_status(uuid, text, text, uuid, text, jsonb, int, uuid),
  public.extend_video_lease(uuid[], uuid[], int, jsonb),
  public.upsert_video_store(int, int, text, text, text, int, text, text, text, text, uuid, text, bigint, double precision, jsonb),
  public.cancel_video(uuid),
  public.retry_videos(uuid[]),
  public.takedown(int, int, text[]),
  public.finish_takedown(int, int, text),
  public.lift_takedown(int, int, boolean),
  public.list_takedowns(),
  public.claim_replica_repairs(int, text, int),
  public.extend_replica_lease(uuid[], uuid[], int),
  public.complete_replica(uuid, uuid, text, text, text, text, text, int, text, bigint, text, text, int),
  public.promote_replica(uuid, text),
  public.report_replica_missing(uuid, text, boolean, boolean),
  public.confirm_replica_missing(uuid),
  public.report_replica_found(uuid, text, bigint),
  public.check_storage_target(text, uuid),
  public.register_storage_target(text, uuid, boolean),
  public.record_replica_hash(uuid, text, bigint),
  public.plan_replica_repairs(text[], int),
  public.claim_obsolete_copies(text[], int),
  public.forget_obsolete_copy(uuid),
  public.acquire_resource_lease(text, text, int, int),
  public.renew_resource_lease(text, int, bigint, int),
  public.release_resource_lease(text, int, bigint),
  public.sweep(),
  public.sweep_if_overdue(int),
  public.leased_videos(),
  public.archive_totals(),
  public.queue_counts(),
  public.apply_providers(jsonb, boolean),
  public.import_catalogue(jsonb, boolean),
  public.save_title_mapping(int, text, jsonb, int, boolean),
  public.save_metadata(text, jsonb, int),
  public.read_metadata(text),
  public.read_episode(int, int, text, int, boolean),
  public.renew_source_reads(int, int, text[], int),
  public.save_sources(int, int, jsonb)
to service_role;
-- Objects of later migrations start without grants.
alter default privileges in schema public revoke all on tables from public, anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from public, anon, authenticated, service_role;
alter default privileges in schema public revoke execute on functions from public, anon, authenticated, service_role;
alter default privileges revoke execute on functions from public;
