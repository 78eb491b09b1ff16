// The watch page: requests an episode from the public API, lists its servers and plays one; MP4 natively, HLS with hls.js.
// After a server's source has expired, it continues at the same position: with the archive, or with a fresh link.
// Example: /?api=http://127.0.0.1:54321/functions/v1&title=55825&episode=1
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
import Hls from "hls.js";
import { episodeUrl } from "../../core/episode_url.ts";

interface Server {
  readonly provider: string;
  readonly resolution: string | null;
  readonly stream: string | null;
  readonly archived?: boolean;
  readonly kind?: string;
}

const video = element("video") as HTMLVideoElement;
const list = element("servers");
const form = element("find") as HTMLFormElement;
let hls: Hls | null = null;
/** Links that stopped playing. */
const failed = new Set<string>();

const query = new URLSearchParams(location.search);
for (const name of ["api", "title", "episode"]) input(name).value = query.get(name) ?? "";
if (input("api").value === "") input("api").value = await configuredApi();
// A link to one stream: /?stream=…; for a server list: /?api=…&title=…&episode=…
const stream = query.get("stream");
if (stream !== null) play({ provider: "link", resolution: null, stream });
else if (form.checkValidity()) await find();

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const chosen = new URLSearchParams({
    api: input("api").value,
    title: input("title").value,
    episode: input("episode").value,
  });
  history.replaceState(null, "", `?${chosen}`);
  find();
});

/** The API that this page is deployed with. */
async function configuredApi(): Promise<string> {
  const response = await fetch("config.json").catch(() => null);
  return response?.ok ? (await response.json()).api_url ?? "" : "";
}

async function find(): Promise<void> {
  showStatus("Looking for servers…");
  failed.clear();
  const servers = await readServers();
  const first = servers.find((server) => server.archived) ?? servers[0];
  if (first === undefined) return;
  play(first);
}

async function readServers(): Promise<Server[]> {
  const url = episodeUrl(input("api").value, input("title").value, input("episode").value);
  try {
    const response = await fetch(url);
    const body = await response.json();
    if (!body.success) throw new Error(String(body.error ?? response.status));
    const data = Object.values(body.data ?? {}) as (Server[] | null)[];
    const servers = data.flatMap((one) => one ?? []).filter((server) => server.stream !== null);
    showStatus(servers.length === 0 ? "No server has this episode." : "");
    list.replaceChildren(...servers.map(button));
    return servers;
  } catch (error) {
    showStatus(`The servers could not be read: ${error instanceof Error ? error.message : error}`);
    return [];
  }
}

function button(server: Server): HTMLElement {
  const item = document.createElement("li");
  const choose = document.createElement("button");
  // As text, not markup: labels come from the providers' pages.
  choose.textContent = server.provider;
  choose.className = server.archived ? "archived" : "";
  choose.addEventListener("click", () => play(server));
  item.append(choose);
  return item;
}

function play(server: Server, from = 0): void {
  const url = server.stream;
  if (url === null || !/^https?:/.test(url)) return showStatus("This server has nothing playable.");
  failed.delete(url);
  hls?.destroy();
  hls = null;
  for (const choose of list.querySelectorAll("button")) {
    choose.setAttribute("aria-pressed", String(choose.textContent === server.provider));
  }
  showStatus(`Playing ${server.provider}`);
  if (isHls(server, url) && Hls.isSupported()) playHls(server, url, from);
  else {
    video.src = url;
    video.currentTime = from;
  }
  video.onerror = () => failOver(server);
  video.play().catch(() => showStatus("Press play."));
}

function playHls(server: Server, url: string, from: number): void {
  const player = hls = new Hls({ startPosition: from });
  player.on(Hls.Events.ERROR, (_event, data) => {
    // hls.js would retry a 410 for half a minute, but the proxy has already tried to fail over.
    if (!data.fatal && data.response?.code !== 410) return;
    document.documentElement.dataset.error = `${data.details} ${data.response?.code ?? ""}`.trim();
    failOver(server);
  });
  player.loadSource(url);
  player.attachMedia(video);
}

/** Continues with another server. The proxy responds 410 after a source's URL has expired; the API then has the archive or a fresh URL. */
async function failOver(server: Server): Promise<void> {
  // Video and audio of one stream fail separately.
  if (server.stream === null || failed.has(server.stream)) return;
  const position = video.currentTime;
  failed.add(server.stream);
  if (!form.checkValidity()) return showStatus("Playback failed.");
  const left = (await readServers()).filter(({ stream }) => stream !== null && !failed.has(stream));
  const next = left.find(({ archived }) => archived) ?? left.find(({ provider }) => provider === server.provider) ??
    left[0];
  if (next === undefined) return showStatus("The source has expired, and the archive is not ready yet.");
  play(next, position);
}

function isHls(server: Server, url: string): boolean {
  const target = new URL(url).searchParams.get("url") ?? url;
  return server.kind === "hls" || /\.m3u8?(?:$|[?#])|m3u8/i.test(target);
}

function showStatus(text: string): void {
  element("status").textContent = text;
}

function input(id: string): HTMLInputElement {
  return element(id) as HTMLInputElement;
}

function element(id: string): HTMLElement {
  return document.getElementById(id)!;
}
