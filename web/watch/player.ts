/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Plays one stream in a video element, HLS with hls.js and files natively, and lists its tracks and qualities for menus. Reports a stream
 * that fails, or that stops sending while it plays.
 */
import Hls from "hls.js";
import { type Choice, matching, nearestLevel, type Track } from "./choice.ts";
import type { Playable, Subtitle } from "./episode.ts";

export interface Menu {
  readonly label: string;
  readonly options: readonly { readonly label: string; readonly selected: boolean; choose(): void }[];
}

export interface PlayerEvents {
  /** The stream cannot be continued. */
  onFailed(stream: Playable, reason: string): void;
  /** Tracks, qualities or what is chosen have changed. */
  onMenus(): void;
}

/** hls.js would retry for half a minute, but the proxy has already tried other URLs and copies. */
const RETRIES = { maxNumRetry: 2, retryDelayMs: 500, maxRetryDelayMs: 2000 };
const CHECK_MS = 1000;
/** Checks without progress until a stream counts as stalled. */
const STALLED_CHECKS = 6;

export class Player {
  readonly #video: HTMLVideoElement;
  readonly #events: PlayerEvents;
  #hls: Hls | null = null;
  #stream: Playable | null = null;
  /** Taken over from the previous stream until the new one has its tracks. */
  #wanted: Choice | null = null;
  /** Of the quality that the viewer has chosen; null: automatic. hls.js leaves a chosen level when a segment fails. */
  #chosenHeight: number | null = null;
  #hasPlayed = false;
  #lastTime = 0;
  #idleChecks = 0;

  constructor(video: HTMLVideoElement, events: PlayerEvents) {
    this.#video = video;
    this.#events = events;
    setInterval(() => this.#checkProgress(), CHECK_MS);
    video.textTracks.addEventListener("change", () => events.onMenus());
  }

  play(stream: Playable, from = 0, wanted: Choice | null = null): Promise<void> {
    this.#hls?.destroy();
    this.#hls = null;
    for (const track of this.#video.querySelectorAll("track")) track.remove();
    [this.#stream, this.#wanted, this.#hasPlayed, this.#idleChecks] = [stream, wanted, false, 0];
    this.#chosenHeight = wanted?.isAutomatic === false ? wanted.height : null;
    this.#video.poster = stream.poster ?? "";
    this.#video.onerror = () => this.#events.onFailed(stream, "the video cannot be played");
    if (stream.isHls && Hls.isSupported()) this.#playHls(stream, from);
    else {
      this.#video.src = stream.url;
      this.#video.currentTime = from;
      this.#video.append(...stream.subtitles.map(trackElement));
      const chosen = matching(this.#textTracks(), wanted?.subtitles ?? null);
      if (chosen !== -1) this.#video.textTracks[chosen]!.mode = "showing";
    }
    this.#events.onMenus();
    return this.#video.play();
  }

  /** What is playing, for the next stream. */
  get choice(): Choice | null {
    const hls = this.#hls;
    if (hls === null) {
      const shown = this.#textTracks()[[...this.#video.textTracks].findIndex(({ mode }) => mode === "showing")];
      return { audio: null, subtitles: shown ?? null, height: this.#video.videoHeight || null, isAutomatic: true };
    }
    // Until it plays, the choice is the previous stream's.
    if (this.#wanted !== null || hls.levels.length === 0) return this.#wanted;
    const level = hls.levels[hls.currentLevel === -1 ? hls.loadLevel : hls.currentLevel];
    return {
      audio: audioTracks(hls)[hls.audioTrack] ?? null,
      subtitles: subtitleTracks(hls)[hls.subtitleTrack] ?? null,
      height: this.#chosenHeight ?? level?.height ?? null,
      isAutomatic: this.#chosenHeight === null,
    };
  }

  get menus(): readonly Menu[] {
    const hls = this.#hls;
    if (hls === null) {
      const modes = [...this.#video.textTracks].map(({ mode }) => mode);
      return [subtitleMenu(this.#textTracks(), modes.indexOf("showing"), (chosen) => {
        for (const [index, track] of [...this.#video.textTracks].entries()) {
          track.mode = index === chosen ? "showing" : "disabled";
        }
      })];
    }
    const qualities = hls.levels.map(({ height }, index) => ({
      label: `${height}p`,
      selected: this.#chosenHeight === height,
      choose: () => this.#setLevel(hls, index),
    }));
    return [
      {
        label: "Audio",
        options: audioTracks(hls).map(({ label }, index) => ({
          label,
          selected: index === hls.audioTrack,
          choose: () => {
            hls.audioTrack = index;
            this.#want({ audio: audioTracks(hls)[index] ?? null });
          },
        })),
      },
      subtitleMenu(subtitleTracks(hls), hls.subtitleTrack, (chosen) => {
        hls.subtitleTrack = chosen;
        this.#want({ subtitles: subtitleTracks(hls)[chosen] ?? null });
      }),
      {
        label: "Quality",
        options: qualities.length < 2 ? [] : [
          { label: "Automatic", selected: this.#chosenHeight === null, choose: () => this.#setLevel(hls, -1) },
          ...qualities.toReversed(),
        ],
      },
    ];
  }

  #playHls(stream: Playable, from: number): void {
    const policy = structuredClone(Hls.DefaultConfig.fragLoadPolicy);
    policy.default.errorRetry = { ...policy.default.errorRetry!, ...RETRIES };
    const hls = this.#hls = new Hls({ startPosition: from, fragLoadPolicy: policy });
    hls.on(Hls.Events.ERROR, (_event, data) => {
      // The proxy responds 410 after it has looked for another URL.
      if (!data.fatal && data.response?.code !== 410) return;
      this.#events.onFailed(stream, `${data.details} ${data.response?.code ?? ""}`.trim());
    });
    const { Events } = Hls;
    hls.on(Events.MANIFEST_PARSED, () => this.#chooseLevel(hls));
    hls.on(Events.AUDIO_TRACKS_UPDATED, () => {
      const chosen = matching(audioTracks(hls), this.#wanted?.audio ?? null);
      if (chosen !== -1) hls.audioTrack = chosen;
    });
    // Not before: hls.js switches subtitles off when the text tracks of the previous stream are removed.
    this.#video.addEventListener("playing", () => {
      if (this.#wanted === null || hls !== this.#hls) return;
      hls.subtitleTrack = matching(subtitleTracks(hls), this.#wanted.subtitles);
      this.#wanted = null;
    }, { once: true });
    for (
      const event of [
        Events.MANIFEST_PARSED,
        Events.AUDIO_TRACKS_UPDATED,
        Events.AUDIO_TRACK_SWITCHED,
        Events.SUBTITLE_TRACKS_UPDATED,
        Events.SUBTITLE_TRACK_SWITCH,
        Events.LEVEL_SWITCHED,
      ] as const
    ) hls.on(event, () => this.#events.onMenus());
    hls.loadSource(stream.url);
    hls.attachMedia(this.#video);
  }

  #chooseLevel(hls: Hls): void {
    const level = nearestLevel(hls.levels.map(({ height }) => height), this.#wanted?.height ?? null);
    if (level === -1) return;
    if (this.#wanted?.isAutomatic === false) this.#setLevel(hls, level);
    else hls.startLevel = level;
  }

  /** -1: automatic. */
  #setLevel(hls: Hls, level: number): void {
    hls.currentLevel = level;
    this.#chosenHeight = hls.levels[level]?.height ?? null;
    this.#want({ height: this.#chosenHeight, isAutomatic: this.#chosenHeight === null });
  }

  /** What the viewer chooses before the stream plays replaces what was taken over. */
  #want(chosen: Partial<Choice>): void {
    if (this.#wanted !== null) this.#wanted = { ...this.#wanted, ...chosen };
  }

  #textTracks(): Track[] {
    return [...this.#video.textTracks].map(({ language, label }) => ({ language, label }));
  }

  /** A source may keep the connection open and send nothing, which is no error for the player. */
  #checkProgress(): void {
    const { currentTime, paused, ended, readyState, seeking } = this.#video;
    const isIdle = currentTime === this.#lastTime && !paused && !ended &&
      readyState < HTMLMediaElement.HAVE_FUTURE_DATA;
    if (currentTime !== this.#lastTime && !seeking) this.#hasPlayed = true;
    this.#lastTime = currentTime;
    this.#idleChecks = isIdle && this.#hasPlayed ? this.#idleChecks + 1 : 0;
    if (this.#idleChecks === STALLED_CHECKS && this.#stream !== null) this.#events.onFailed(this.#stream, "stalled");
  }
}

function audioTracks(hls: Hls): Track[] {
  return hls.audioTracks.map(({ lang, name }) => ({ language: lang ?? null, label: name }));
}

function subtitleTracks(hls: Hls): Track[] {
  return hls.subtitleTracks.map(({ lang, name }) => ({ language: lang ?? null, label: name }));
}

function subtitleMenu(tracks: readonly Track[], chosen: number, choose: (index: number) => void): Menu {
  const options = tracks.map(({ label }, index) => ({
    label,
    selected: index === chosen,
    choose: () => choose(index),
  }));
  const off = { label: "Off", selected: chosen === -1, choose: () => choose(-1) };
  return { label: "Subtitles", options: options.length === 0 ? [] : [off, ...options] };
}

function trackElement({ url, language, label }: Subtitle): HTMLTrackElement {
  const track = document.createElement("track");
  track.kind = "subtitles";
  track.src = url;
  track.srclang = language ?? "";
  track.label = label ?? language ?? "Subtitles";
  return track;
}
