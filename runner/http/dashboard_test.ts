// The status page in a real browser: hostile text, keyboard navigation, phone width.

import assert from "node:assert/strict";
import { startBrowser } from "../../dev/testing/browser.ts";
import { createEvents } from "../events.ts";
import { Progress } from "../job/progress.ts";
import type { ActiveJob } from "../loop/active_job.ts";
import type { Job } from "../queue/job.ts";
import { createApp } from "./app.ts";

const HOSTILE = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>';
const LONG = "a-provider-name-without-any-place-to-break-it-".repeat(6);

function activeJob(provider: string, total: number | null): ActiveJob {
  const progress = new Progress(() => 0);
  progress.enter("downloading", total);
  progress.set(123_456_789);
  const job: Job = {
    id: crypto.randomUUID(),
    malId: 55825,
    episode: 12,
    provider,
    resolution: HOSTILE,
    leaseToken: "",
    attempt: 2,
    maxAttempts: 8,
    candidates: [{ id: null, embedUrl: null, videoUrl: "https://cdn.test/a.mp4", kind: null, headers: {} }],
  };
  return { job, startedAt: 0, progress: () => progress.sample() };
}

async function servePage() {
  const app = createApp({
    worker: HOSTILE,
    concurrency: 2,
    startedAt: 0,
    now: () => 3_723_000,
    events: createEvents(),
    active: () => [activeJob(HOSTILE, 400_000_000), activeJob(LONG, null)],
    stopping: () => false,
    notify: () => {},
    readTrigger: () => Promise.reject(new Error("not used")),
    enqueue: () => Promise.reject(new Error("not used")),
    queueCounts: () => Promise.resolve({ due: 3, delayed: 1, dead: 0, ready: 12 }),
    storageAccounts: 2,
    checkHealth: () => Promise.resolve([]),
    isOperator: () => Promise.resolve(true),
    targets: () => [],
    folder: null,
    totals: () => ({ finished: 7, failed: 1 }),
    recent: () => [{
      at: "2026-11-22T10:00:00Z",
      outcome: "failed",
      code: "unsupported",
      mal_id: 1,
      episode: 1,
      provider: HOSTILE,
      resolution: null,
      message: HOSTILE + LONG,
    }],
    dashboard: await Deno.readTextFile(new URL("dashboard.html", import.meta.url)),
  });
  return Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, app.fetch);
}

Deno.test("status page: hostile text → shown as text; phone and keyboard usable", async () => {
  await using server = await servePage();
  await using browser = await startBrowser();
  const page = await browser.open("about:blank");
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => complaints.push(message.text()));
  await page.goto(`http://127.0.0.1:${server.addr.port}/`);
  await page.getByText("title 55825").first().waitFor();
  assert.equal(await page.evaluate("window.hit"), undefined);
  assert.equal(await page.locator("img, main script").count(), 0, "no markup came out of a response");
  assert.ok((await page.locator("#now").innerText()).includes(HOSTILE), "it is shown as it is");
  assert.deepEqual(complaints, []);

  for (const [name, width] of [["desktop", 1280], ["phone", 360], ["small", 320]] as const) {
    await page.setViewportSize({ width, height: 740 });
    const scroll = await page.evaluate("document.documentElement.scrollWidth") as number;
    assert.ok(scroll <= width, `${scroll} px wide on a screen of ${width}`);
    const shots = Deno.env.get("KEEPSTREAM_SCREENSHOTS");
    if (shots) await page.screenshot({ path: `${shots}/dashboard-${name}.png`, fullPage: true });
  }

  const reached: string[] = [];
  for (let i = 0; i < 3; i++) {
    await page.keyboard.press("Tab");
    reached.push(await page.evaluate("document.activeElement.getAttribute('href')") as string);
    const outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle");
    assert.notEqual(outline, "none", "where the keyboard is can be seen");
  }
  assert.deepEqual(reached, ["/status", "/health", "/metrics"]);
  const names = await page.locator("progress").evaluateAll((bars) => bars.map((bar) => bar.getAttribute("aria-label")));
  assert.equal(names.length, 2);
  assert.ok(names.every((name) => name?.includes("episode 12")), "a bar names its job");
});
