/**
 * Reads a playlist into the list of segments to fetch: one variant with all its audio and subtitle renditions. If a variant or its audio
 * is missing on the host, the next one is taken; missing subtitles are left out. Both is reported.
 * Example: `await planHls(url, { wanted: "720p", … })` → { renditions: [{ role: "video", segments: […] }, …], variant, leftOut: [] }.
 */
import { KeepstreamError } from "../../core/errors.ts";
import type { MediaPlaylist, MultivariantPlaylist, Rendition, Segment } from "../../core/hls/playlist.ts";
import type { ChosenVariant, Omission } from "../../core/media_report.ts";
import type { MediaRequest } from "../network/guarded_fetch.ts";
import { checkMediaPlaylist } from "./playlist_policy.ts";
import { furtherHeights, notOffered, orderWished, type QualityPolicy, type Wish } from "./quality_policy.ts";
import { readPlaylist } from "./read_playlist.ts";
import { isSameVariant, nominalHeight, offeredHeights, type RankedVariant } from "./variant_choice.ts";

const MAX_AUDIO = 16;
const MAX_SUBTITLES = 48;
/** Each costs a few requests. */
const MAX_VARIANTS_TRIED = 12;

export type Role = "video" | "audio" | "subtitles";

export type PlannedRendition = {
  /** Identifies the rendition among those of its source, whatever its URL: the heights of a source share its audio. */
  readonly id?: string;
  readonly role: Role;
  readonly name: string | null;
  readonly language: string | null;
  readonly isDefault: boolean;
  /** Subtitles of foreign speech and signs only, which players show by themselves. */
  readonly forced?: boolean;
  readonly segments: readonly Segment[];
  readonly durationSeconds: number;
};

export type HlsPlan = {
  readonly renditions: readonly PlannedRendition[];
  readonly durationSeconds: number;
  /** null: the source offers no choice. */
  readonly variant: ChosenVariant | null;
  /** The group of the variant's audio renditions. */
  readonly audioGroup: string | null;
  readonly leftOut: readonly Omission[];
  /** Heights of the source that the policy keeps beside this one, largest first. */
  readonly heights?: readonly number[];
};

export type PlanOptions = MediaRequest & Wish & {
  /** The plan of the same source before its URLs expired: only the same variant and renditions are taken. */
  readonly like?: HlsPlan;
};

type Wanted = Omit<PlannedRendition, "segments" | "durationSeconds"> & { readonly url: string };
type Read = Wanted & { readonly playlist: MediaPlaylist };

export async function planHls(url: string, options: PlanOptions): Promise<HlsPlan> {
  const { like } = options;
  const read = await readPlaylist(url, options);
  if (read.playlist.kind === "multivariant") {
    const policy = await options.qualities?.() ?? "label";
    return await new VariantPlanner(read.playlist, options, policy).plan();
  }
  if (like !== undefined && like.variant !== null) throw changed();
  if (options.exact) throw notOffered(options.wanted);
  const playlist = checkMediaPlaylist(read.playlist, read.url, options.policy);
  return toPlan([{ ...VIDEO, url, playlist }], { variant: null, audioGroup: null, leftOut: [], heights: [] });
}

class VariantPlanner {
  readonly #playlist: MultivariantPlaylist;
  readonly #options: PlanOptions;
  readonly #policy: QualityPolicy;
  /** Audio groups with a missing rendition. */
  readonly #brokenGroups = new Set<string>();
  #failure: KeepstreamError | null = null;

  constructor(playlist: MultivariantPlaylist, options: PlanOptions, policy: QualityPolicy) {
    this.#playlist = playlist;
    this.#policy = policy;
    this.#options = options;
  }

  async plan(): Promise<HlsPlan> {
    const variants = this.#candidates();
    for (const needsAllAudio of [true, false]) {
      let passed = 0;
      for (const variant of variants) {
        const { audio } = variant.variant;
        if (needsAllAudio && audio !== null && this.#brokenGroups.has(audio)) continue;
        const plan = await this.#try(variant, { needsAllAudio, passed });
        if (plan !== null) return plan;
        passed++;
      }
      // A video without one of its languages is better than none.
      if (this.#brokenGroups.size === 0) break;
    }
    throw this.#failure!;
  }

  #candidates(): RankedVariant[] {
    const { like } = this.#options;
    const ordered = orderWished(this.#playlist, this.#options, this.#policy);
    if (like === undefined) return ordered.slice(0, MAX_VARIANTS_TRIED);
    const same = ordered.filter(({ variant, chosen }) =>
      isSameVariant(chosen, like.variant) && variant.audio === like.audioGroup
    );
    if (same.length === 0) throw changed();
    return same.slice(0, MAX_VARIANTS_TRIED);
  }

  /** null: something of the variant is missing on the host. */
  async #try(
    { variant, chosen }: RankedVariant,
    { needsAllAudio, passed }: { needsAllAudio: boolean; passed: number },
  ): Promise<HlsPlan | null> {
    const wanted = this.#wantedRenditions(variant.audio, variant.subtitles);
    const { reason: _, ...size } = chosen;
    const video = { ...VIDEO, id: `video ${JSON.stringify(Object.values(size))}`, url: variant.url };
    const results = await Promise.allSettled([video, ...wanted].map((one) => this.#read(one)));
    const read: Read[] = [];
    const leftOut = [...this.#unreadableSubtitles(), ...this.#otherAudio(variant.audio)];
    let audioFailure: KeepstreamError | null = null;
    for (const [i, result] of results.entries()) {
      const rendition = i === 0 ? null : wanted[i - 1]!;
      if (result.status === "fulfilled") read.push(result.value);
      else if (!mayBeReplaced(result.reason)) throw result.reason;
      else if (rendition === null) return this.#failed(result.reason);
      else {
        leftOut.push(omission(rendition, result.reason));
        if (rendition.role === "audio") audioFailure ??= result.reason;
      }
    }
    const mayLeaveOut = !needsAllAudio && read.some(({ role }) => role === "audio") && isGone(audioFailure);
    if (audioFailure !== null && !mayLeaveOut) {
      this.#brokenGroups.add(variant.audio!);
      return this.#failed(audioFailure);
    }
    const reason = passed === 0 ? chosen.reason : `${chosen.reason}; ${passed} before it could not be read`;
    const heights = furtherHeights(this.#policy, {
      offered: offeredHeights(this.#playlist),
      main: nominalHeight(variant),
    });
    return toPlan(read, { variant: { ...chosen, reason }, audioGroup: variant.audio, leftOut, heights });
  }

  #failed(error: KeepstreamError): null {
    this.#failure ??= error; // of the best variant
    return null;
  }

  async #read(wanted: Wanted): Promise<Read> {
    const { playlist, url } = await readPlaylist(wanted.url, this.#options, this.#playlist);
    // Following nested multivariant playlists could loop.
    if (playlist.kind === "multivariant") {
      throw new KeepstreamError("unsupported", "a multivariant playlist lists another multivariant playlist");
    }
    return { ...wanted, playlist: checkMediaPlaylist(playlist, url, this.#options.policy) };
  }

  #wantedRenditions(audio: string | null, subtitles: string | null): Wanted[] {
    const all = [
      ...renditionsOf(this.#playlist, "AUDIO", audio).slice(0, MAX_AUDIO),
      ...renditionsOf(this.#playlist, "SUBTITLES", subtitles).slice(0, MAX_SUBTITLES),
    ];
    const { like } = this.#options;
    return like === undefined ? all : all.filter((one) => like.renditions.some((kept) => isSameRendition(one, kept)));
  }

  #unreadableSubtitles(): Omission[] {
    return this.#playlist.skipped.filter((message) => message.startsWith("SUBTITLES"))
      .map((detail) => ({ kind: "subtitles", code: "unreadable", detail }));
  }

  /** Languages that only other audio groups have. */
  #otherAudio(group: string | null): Omission[] {
    const label = ({ language, name }: Rendition) => language ?? name;
    const audio = this.#playlist.renditions.filter(({ type }) => type === "AUDIO");
    const kept = new Set(audio.filter(({ groupId }) => groupId === group).map(label));
    const others = new Set(audio.filter((one) => one.groupId !== group && !kept.has(label(one))).map(label));
    return [...others].slice(0, MAX_AUDIO).map((language) => ({
      kind: "audio",
      code: "other_group",
      detail: `${language.slice(0, 60)}: only in an audio group that the archived variant does not use`,
    }));
  }
}

const VIDEO = { id: "video", role: "video", name: null, language: null, isDefault: true } as const;

/** Whether two plans have the same variant and the same renditions, whatever their URLs. */
export function isSamePlan(a: HlsPlan, b: HlsPlan): boolean {
  return isSameVariant(a.variant, b.variant) && a.audioGroup === b.audioGroup &&
    a.renditions.length === b.renditions.length &&
    a.renditions.every((rendition, i) =>
      isSameRendition(rendition, b.renditions[i]!) && timelineOf(rendition) === timelineOf(b.renditions[i]!)
    );
}

/** Segment durations: another encoding of the same video rarely has the same. */
function timelineOf({ segments }: PlannedRendition): string {
  return segments.map(({ durationSeconds }) => durationSeconds).join(" ");
}

type Identity = Pick<PlannedRendition, "role" | "name" | "language">;

function isSameRendition(a: Identity, b: Identity): boolean {
  return a.role === b.role && a.name === b.name && a.language === b.language;
}

/** The next variant can help if this one is missing or broken, not against the policy, DRM or a full disk. */
function mayBeReplaced(error: unknown): error is KeepstreamError {
  const codes = ["source_expired", "upstream_5xx", "network", "timeout", "rate_limited", "unsupported", "too_large"];
  return error instanceof KeepstreamError && codes.includes(error.code);
}

/** Not a failure that may pass: a retry of the job may find the language. */
function isGone(error: KeepstreamError | null): boolean {
  return error?.code === "source_expired" || error?.code === "unsupported";
}

function omission({ role, language, name }: Wanted, { code }: KeepstreamError): Omission {
  const label = (name ?? language ?? role).slice(0, 60);
  const kind = role === "subtitles" ? "subtitles" : "audio";
  if (code === "source_expired") return { kind, code: "not_found", detail: `${label}: its playlist is missing` };
  if (code === "unsupported") return { kind, code: "unreadable", detail: `${label}: its playlist cannot be used` };
  return { kind, code: "unavailable", detail: `${label}: its playlist could not be fetched (${code})` };
}

function changed(): KeepstreamError {
  return new KeepstreamError("source_expired", "the source changed during the download");
}

/** Renditions without a URL are inside the variant's own segments. */
function renditionsOf(master: MultivariantPlaylist, type: Rendition["type"], group: string | null): Wanted[] {
  // Groups that list the same playlist share it.
  const shared = (r: Rendition) =>
    master.renditions.find(({ type, url, name, language }) =>
      type === r.type && url === r.url && name === r.name && language === r.language
    )!.groupId;
  return master.renditions.flatMap((r) =>
    r.type !== type || r.groupId !== group || r.url === null ? [] : [{
      id: JSON.stringify([type, shared(r), r.language, r.name]),
      role: type === "AUDIO" ? "audio" as const : "subtitles" as const,
      name: r.name,
      language: r.language,
      isDefault: r.isDefault,
      ...(r.forced ? { forced: true } : {}),
      url: r.url,
    }]
  );
}

function toPlan(
  parts: readonly Read[],
  about: Pick<HlsPlan, "variant" | "audioGroup" | "leftOut" | "heights">,
): HlsPlan {
  const renditions = parts.map(({ id, role, name, language, isDefault, forced, playlist }) => ({
    id,
    role,
    name,
    language,
    isDefault,
    ...(forced ? { forced } : {}),
    segments: playlist.segments,
    durationSeconds: playlist.durationSeconds,
  }));
  return { renditions, durationSeconds: renditions[0]!.durationSeconds, ...about };
}
