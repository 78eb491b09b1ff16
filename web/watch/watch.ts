// The watch page: asks the public API for an episode, lists its servers, plays the chosen one; MP4 by the browser,
// HLS by hls.js. When a server's source has expired it goes on at the same position: with the archive, else with a fresh link.
// Example: /?api=http://127.0.0.1:54321/functions/v1&title=55825&episode=1 · Runs on: browser.
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
/** Links that played no more. */
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

/** The API that this page was deployed with. */
async function configuredApi(): Promise<string> {
  const response = await fetch("config.json").catch(() => null);
  return response?.ok ? (await response.json()).api_url ?? "" : "";
}

async function find(): Promise<void> {
  say("Looking for servers…");
  failed.clear();
  const servers = await readServers();
  const first = servers.find((server) => server.archived) ?? servers[0];
  if (first === undefined) return;
  play(first);
}

async function readServers(): Promise<Server[]> {
  const address = episodeUrl(input("api").value, input("title").value, input("episode").value);
  try {
    const answer = await fetch(address);
    const body = await answer.json();
    if (!body.success) throw new Error(String(body.error ?? answer.status));
    const data = Object.values(body.data ?? {}) as (Server[] | null)[];
    const servers = data.flatMap((one) => one ?? []).filter((server) => server.stream !== null);
    say(servers.length === 0 ? "No server has this episode." : "");
    list.replaceChildren(...servers.map(button));
    return servers;
  } catch (error) {
    say(`The servers could not be read: ${error instanceof Error ? error.message : error}`);
    return [];
  }
}

function button(server: Server): HTMLElement {
  const item = document.createElement("li");
  const choose = document.createElement("button");
  // Text, never markup: labels come from other people's pages.
  choose.textContent = server.provider;
  choose.className = server.archived ? "archived" : "";
  choose.addEventListener("click", () => play(server));
  item.append(choose);
  return item;
}

function play(server: Server, from = 0): void {
  const address = server.stream;
  if (address === null || !/^https?:/.test(address)) return say("This server has nothing playable.");
  failed.delete(address);
  hls?.destroy();
  hls = null;
  for (const choose of list.querySelectorAll("button")) {
    choose.setAttribute("aria-pressed", String(choose.textContent === server.provider));
  }
  say(`Playing ${server.provider}`);
  if (isHls(server, address) && Hls.isSupported()) playHls(server, address, from);
  else {
    video.src = address;
    video.currentTime = from;
  }
  video.onerror = () => moveOn(server);
  video.play().catch(() => say("Press play."));
}

function playHls(server: Server, address: string, from: number): void {
  const player = hls = new Hls({ startPosition: from });
  player.on(Hls.Events.ERROR, (_event, data) => {
    // hls.js would ask for half a minute more; the proxy has looked for what is gone already.
    if (!data.fatal && data.response?.code !== 410) return;
    document.documentElement.dataset.error = `${data.details} ${data.response?.code ?? ""}`.trim();
    moveOn(server);
  });
  player.loadSource(address);
  player.attachMedia(video);
}

/** The proxy answers 410 when the source's address has died: the API knows better ones, to go on where the picture stopped. */
async function moveOn(server: Server): Promise<void> {
  // Picture and sound fail one after the other.
  if (server.stream === null || failed.has(server.stream)) return;
  const position = video.currentTime;
  failed.add(server.stream);
  if (!form.checkValidity()) return say("Playback failed.");
  const left = (await readServers()).filter(({ stream }) => stream !== null && !failed.has(stream));
  const next = left.find(({ archived }) => archived) ?? left.find(({ provider }) => provider === server.provider) ??
    left[0];
  if (next === undefined) return say("The source has gone, and the archive is not ready yet.");
  play(next, position);
}

function isHls(server: Server, address: string): boolean {
  const target = new URL(address).searchParams.get("url") ?? address;
  return server.kind === "hls" || /\.m3u8?(?:$|[?#])|m3u8/i.test(target);
}

function say(text: string): void {
  element("status").textContent = text;
}

function input(id: string): HTMLInputElement {
  return element(id) as HTMLInputElement;
}

function element(id: string): HTMLElement {
  return document.getElementById(id)!;
}
