// The watch page: requests an episode from the public API, lists its servers and plays one. After a stream has failed, it continues at the
// same position, language and quality: with the archive, or with a fresh link.
// Example: /?api=http://127.0.0.1:54321/functions/v1&title=55825&episode=1
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
import { episodeUrl } from "../../core/episode_url.ts";
import { type Playable, playable, readEpisode } from "./episode.ts";
import { type Menu, Player } from "./player.ts";

/** An archive may become ready while nothing else can be played. */
const RETRY_MS = 15_000;

const video = element("video") as HTMLVideoElement;
const list = element("servers");
const form = element("find") as HTMLFormElement;
/** Links that stopped playing. */
const failed = new Set<string>();
let retry: ReturnType<typeof setTimeout> | undefined;
let current: Playable | null = null;

const player = new Player(video, {
  onFailed: (stream, reason) => {
    document.documentElement.dataset.error = reason;
    failOver(stream);
  },
  onMenus: () => showMenus(player?.menus ?? []),
});

const query = new URLSearchParams(location.search);
for (const name of ["api", "title", "episode"]) input(name).value = query.get(name) ?? "";
if (input("api").value === "") input("api").value = await configuredApi();
// A link to one stream: /?stream=…; for a server list: /?api=…&title=…&episode=…
const stream = query.get("stream");
if (stream !== null) playable({ provider: "link", stream }).forEach((one) => play(one));
else if (form.checkValidity()) await find();

// A stream that stood still has gone on.
video.addEventListener("timeupdate", () => clearTimeout(retry));
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
  clearTimeout(retry);
  const streams = await readStreams();
  const first = streams.find((one) => one.archived) ?? streams[0];
  if (first !== undefined) play(first);
}

async function readStreams(): Promise<Playable[]> {
  try {
    const streams = await readEpisode(episodeUrl(input("api").value, input("title").value, input("episode").value));
    showStatus(streams.length === 0 ? "No server has this episode." : "");
    list.replaceChildren(...streams.map(button));
    return streams;
  } catch (error) {
    showStatus(`The servers could not be read: ${error instanceof Error ? error.message : error}`);
    return [];
  }
}

function button(one: Playable): HTMLElement {
  const item = document.createElement("li");
  const choose = document.createElement("button");
  // As text, not markup: labels come from the providers' pages.
  choose.textContent = one.label;
  choose.className = one.archived ? "archived" : "";
  // The same episode: continue where the viewer is.
  choose.addEventListener("click", () => play(one, video.currentTime));
  item.append(choose);
  return item;
}

function play(one: Playable, from = 0): void {
  failed.delete(one.url);
  clearTimeout(retry);
  const choice = current === null ? null : player.choice;
  current = one;
  for (const choose of list.querySelectorAll("button")) {
    choose.setAttribute("aria-pressed", String(choose.textContent === one.label));
  }
  showStatus(`Playing ${one.label}`);
  player.play(one, from, choice).catch((error) => {
    // Another error means that the stream failed, or that another one was chosen.
    if (error instanceof DOMException && error.name === "NotAllowedError") showStatus("Press play.");
  });
}

/** The API may have the archive by now, or a fresh URL. Until it has one of them, it is asked again. */
async function failOver(stream: Playable): Promise<void> {
  // Video and audio of one stream fail separately.
  if (failed.has(stream.url) || stream !== current) return;
  failed.add(stream.url);
  if (!form.checkValidity()) return showStatus("Playback failed.");
  const left = (await readStreams()).filter(({ url }) => !failed.has(url));
  const next = left.find(({ archived }) => archived) ?? left.find(({ label }) => label === stream.label) ?? left[0];
  if (next !== undefined) return play(next, video.currentTime);
  showStatus("The source has expired, and the archive is not ready yet.");
  failed.delete(stream.url);
  retry = setTimeout(() => failOver(stream), RETRY_MS);
}

/** A menu with one option needs no choice. */
function showMenus(menus: readonly Menu[]): void {
  const shown = menus.filter(({ options }) => options.length > 1);
  element("menus").replaceChildren(...shown.map(({ label, options }) => {
    const select = document.createElement("select");
    select.append(...options.map((one) => new Option(one.label, "", one.selected, one.selected)));
    select.addEventListener("change", () => options[select.selectedIndex]?.choose());
    const labelled = document.createElement("label");
    labelled.append(label, select);
    return labelled;
  }));
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
