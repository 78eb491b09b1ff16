-- A failed job that waits for its next attempt can be a re-archive. If its archiving rights are
-- withdrawn, its text has to keep saying that the old archive is served, and an event has to say why
-- the job will not be retried: apply_status_change does not run, because the status stays failed.
create or replace function keepstream.end_jobs_without_rights() returns void
language plpgsql security definer set search_path = ''
as $$
declare
  denied uuid[];
  moment timestamptz;
begin
  denied := array(
    select q.id from public.video_queue q
    left join public.providers p on p.name = q.provider and p.enabled
    left join public.catalogue c on p.recipe = 'catalogue' and c.mal_id = q.mal_id and c.episode = q.episode
    where q.finished_at is null and q.lease_token is null
      and keepstream.declared_rights(case when p.recipe = 'catalogue' then c.rights else p.rights end) is null
    limit 5000 for update of q skip locked);
  moment := clock_timestamp();
  with waiting as materialized (
    select q.id, q.last_event from public.video_queue q where q.id = any (denied) and q.status = 'failed'
  ), ended as (
    update public.video_queue q
    set error_class = 'policy_denied', error_message = keepstream.failure_text(keepstream.missing_rights_message(), q.id),
        terminal_at = moment, finished_at = moment, updated_at = moment, candidates = null,
        last_event = nextval('keepstream.events_id_seq')
    from waiting w where q.id = w.id
    returning q.id, q.last_event, q.lease_epoch, w.last_event as previous
  )
  insert into keepstream.events (id, queue_id, at, kind, to_status, lease_epoch, error_class, detail, previous)
  select e.last_event, e.id, moment, 'cancelled', 'failed', e.lease_epoch, 'policy_denied', jsonb_build_object('terminal', true), e.previous
  from ended e;
  update public.video_queue q
  set status = 'failed', error_class = 'policy_denied', error_message = keepstream.missing_rights_message(),
      terminal_at = moment, finished_at = moment, candidates = null
  where q.id = any (denied) and q.status <> 'failed';
end
$$;
