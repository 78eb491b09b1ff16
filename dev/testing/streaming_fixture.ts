// The streaming function as deployed, with a synthetic site as its provider.
import assert from "node:assert/strict";
import { type FunctionFixture } from "./function_fixture.ts";
import { base64, episodeListPage, mirrorPage } from "../emulators/sites/select_base64_site.ts";
import { htmlResponse, pages, type Site } from "../emulators/sites/sites.ts";
import {
  type EpisodeResponse,
  episodeResponseSchema,
  type PublicServer,
} from "../../functions/streaming/episode_schema.ts";
import { buildStreamingApp } from "../../functions/streaming/build.ts";

/** A site with a title of one episode; its two players name an HLS and an MP4 URL. */
export function animeSite(self: () => string, more: Readonly<Record<string, string | Site>> = {}): Site {
  const option = (label: string, path: string) => ({
    label,
    value: base64(`<iframe src="${self()}${path}"></iframe>`),
  });
  return pages({
    "/anime/title/": () => htmlResponse(episodeListPage([{ label: "Episode 1", href: "/episode-1/" }])),
    "/episode-1/": () =>
      htmlResponse(
        mirrorPage([option("720p", "/player/720"), option("480p", "/player/480"), option("Gone", "/player/gone")]),
      ),
    "/player/720": `<script>jwplayer().setup({file:"https://cdn.test/v/720/master.m3u8?e=99999999999"})</script>`,
    "/player/480": `<script>jwplayer().setup({file:"https://cdn.test/v/480.mp4"})</script>`,
    ...more,
  });
}

export interface ProviderRow {
  readonly name: string;
  readonly base_url?: string | null;
  readonly recipe?: string;
  readonly rights?: string | null;
  readonly config?: Record<string, unknown>;
}

export async function addProviders(fixture: FunctionFixture, ...rows: readonly ProviderRow[]) {
  const entries = rows.map(({ name, ...row }) => ({
    name,
    recipe: "select-base64",
    rights: "test pages",
    base_url: null,
    ...row,
  }));
  await fixture.database.sql`select public.apply_providers(${JSON.stringify(entries)}::text::jsonb, false)`;
}

export async function mapTitle(fixture: FunctionFixture, provider: string, page = "/anime/title/") {
  await fixture.database.sql`select public.save_title_mapping(1, ${provider}, ${
    JSON.stringify({ page })
  }::text::jsonb, null, true)`;
}

/** The app, and all it left to do in the background when a test ends. */
export function startApp(fixture: FunctionFixture, more: Readonly<Record<string, string>>) {
  const app = buildStreamingApp({ ...fixture.env, ...more });
  const get = async (path = "/streaming/1/1", init?: RequestInit) => {
    const response = await app.request(path, init);
    const body: unknown = await response.json();
    episodeResponseSchema.parse(body); // strict: every response of these tests is checked against the OpenAPI document's schema
    return { status: response.status, headers: response.headers, body: body as EpisodeResponse };
  };
  return { app, get };
}

export const servers = (response: EpisodeResponse, provider: string): readonly PublicServer[] =>
  response.data[provider] ?? [];
export const queueRows = (fixture: FunctionFixture) =>
  fixture.database
    .sql`select provider, resolution, status, video_url, embed_url from public.video_queue order by resolution`;

export async function eventually(check: () => Promise<boolean> | boolean) {
  for (let turn = 0; turn < 600; turn++) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.fail("the condition did not become true");
}
