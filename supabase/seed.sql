-- For `supabase start` on a developer's machine: one provider, the operator's own catalogue, with one episode that
-- Blender Foundation gives away under CC BY 3.0. Nothing here is read in production.
select public.apply_providers(
  '[{"name": "catalogue", "recipe": "catalogue", "rights": "stated per entry"}]', dry_run => false);
