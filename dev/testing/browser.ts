/**
 * A headless Chromium for one test, controlled over its debugging port and stopped afterwards.
 * `await using browser = await startBrowser(); const page = await browser.open("http://127.0.0.1:8787/")`
 */
import { type Browser, chromium, type Page } from "playwright-core";
import { CHROMIUM, findProgram } from "../process/install.ts";

export interface TestBrowser extends AsyncDisposable {
  open(url: string): Promise<Page>;
}

const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--mute-audio",
  "--autoplay-policy=no-user-gesture-required",
  "--remote-debugging-port=0",
];

export async function startBrowser(): Promise<TestBrowser> {
  const program = findProgram(CHROMIUM);
  if (program === undefined) throw new Error("chromium is not installed");
  const profile = await Deno.makeTempDir({ prefix: "keepstream-chromium-" });
  const child = new Deno.Command(program, {
    args: [...FLAGS, `--user-data-dir=${profile}`, "about:blank"],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const log = { text: "" };
  const { promise: url, resolve } = Promise.withResolvers<string | null>();
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) {
      log.text = (log.text + decoder.decode(chunk, { stream: true })).slice(-10_000);
      const found = /DevTools listening on (ws:\S+)/.exec(log.text);
      if (found !== null) resolve(found[1]!);
    }
    resolve(null);
  })();
  let browser: Browser | null = null;
  const stop = async () => {
    await browser?.close();
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await child.status;
    await reading;
    // Its child processes may still write to the profile for a moment.
    for (let tries = 0; tries < 50; tries++) {
      if (await Deno.remove(profile, { recursive: true }).then(() => true, () => false)) return;
      await new Promise((done) => setTimeout(done, 100));
    }
  };
  try {
    const endpoint = await url;
    if (endpoint === null) throw new Error(`chromium did not start:\n${log.text}`);
    browser = await chromium.connectOverCDP(endpoint);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    async open(url) {
      const page = await browser!.contexts()[0]!.newPage();
      await page.goto(url);
      return page;
    },
    [Symbol.asyncDispose]: stop,
  };
}
