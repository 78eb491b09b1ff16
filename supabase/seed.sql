-- For `supabase start` on a developer's machine: one provider, the operator's own catalogue, whose
-- entries declare their rights themselves. Not used in production.
select public.apply_providers(
  '[{"name": "catalogue", "recipe": "catalogue"}]', dry_run => false);
