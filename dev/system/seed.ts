/** Data for the demo in a new system: the runner's URL in Vault, one provider, one episode. */
import createClient from "postgres";

/** The demo: title 55825, episode 1, served by the local origin. */
export const DEMO_EPISODE = { malId: 55825, episode: 1 } as const;

const RIGHTS = "made on this machine by ffmpeg";

export interface SeedMedium {
  readonly name: string;
  readonly resolution: string;
  readonly embedUrl: string;
}

export async function seed(
  databaseUrl: string,
  options: { runnerUrl: string; runnerWebhookSecret: string; media: readonly SeedMedium[] },
): Promise<void> {
  const sql = createClient(databaseUrl, { max: 1, onnotice: () => {}, fetch_types: false });
  try {
    await sql.begin(async (transaction) => {
      const secrets = { runner_url: options.runnerUrl, runner_webhook_secret: options.runnerWebhookSecret };
      for (const [name, secret] of Object.entries(secrets)) {
        await transaction`
          select case count(*) when 0 then vault.create_secret(${secret}, ${name})::text
            else (select vault.update_secret(min(id::text)::uuid, ${secret})::text) end
          from vault.secrets where name = ${name}`;
      }
      await transaction`
        insert into public.providers (name, recipe, rights, qualities) values ('catalogue', 'catalogue', 'stated per entry', 'all')
        on conflict (name) do nothing`;
      const entry = {
        mal_id: DEMO_EPISODE.malId,
        episode: DEMO_EPISODE.episode,
        title: "Test card",
        rights: RIGHTS,
        sources: options.media.map((medium) => ({
          url: medium.embedUrl,
          resolution: medium.resolution,
          kind: "embed",
          label: `Origin ${medium.name} ${medium.resolution}`,
        })),
      };
      await transaction`select public.import_catalogue(${JSON.stringify([entry])}::text::jsonb, dry_run => false)`;
    });
  } finally {
    await sql.end({ timeout: 1 });
  }
}
