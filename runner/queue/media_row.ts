/**
 * A media report as video_store takes it: width, height and the rest as JSON. Names come from the source, so texts and lists are cut
 * and control characters replaced: the row is limited to 64 kB. Pure. Example: `{ …, ...mediaRow(report) }`.
 */
import type { MediaReport } from "../../core/media_report.ts";
import type { Presentation } from "../../core/presentation.ts";

const MAX_DETAIL = 120;
const MAX_NAME = 60;
const MAX_CODE = 40;
const MAX_LABEL = 40;
/** A video with 16 audio and 48 subtitle tracks, and some more. */
const MAX_TRACKS = 72;
const MAX_SIDECARS = 160;
const MAX_CONVERTED = 16;
const MAX_LEFT_OUT = 32;
const MAX_CHAPTERS = 60;

export type MediaRow = Pick<MediaReport, "width" | "height"> & {
  readonly media: Omit<MediaReport, "width" | "height">;
};

export function mediaRow(report: MediaReport): MediaRow {
  const { width, height, tracks, variant, converted, left_out, chapters = [], presentation, sidecars } = report;
  const media = {
    tracks: tracks.slice(0, MAX_TRACKS).map(({ type, codec, language, name }) => ({
      type,
      codec: text(codec, MAX_CODE),
      language: language === null ? null : text(language, MAX_CODE),
      name: name === null ? null : text(name, MAX_NAME),
    })),
    variant: variant === null ? null : {
      ...variant,
      codecs: variant.codecs === null ? null : text(variant.codecs, MAX_DETAIL),
      reason: text(variant.reason, MAX_DETAIL),
    },
    converted: converted.slice(0, MAX_CONVERTED).map(({ track, code, detail }) => ({ track, ...coded(code, detail) })),
    left_out: firstOf(left_out).map(({ kind, code, detail }) => ({ kind, ...coded(code, detail) })),
    ...(chapters.length > 0 && {
      chapters: chapters.slice(0, MAX_CHAPTERS).map(({ seconds, title, kind }) => ({
        seconds,
        title: text(title, MAX_NAME),
        kind: kind === null ? null : text(kind, MAX_CODE),
      })),
    }),
    presentation: presentation === null ? null : presentationRow(presentation),
    ...(sidecars !== undefined && { sidecars: sidecars.slice(0, MAX_SIDECARS) }),
  };
  return { width, height, media };
}

function presentationRow({ plain_because, tracks, ...rest }: Presentation): Presentation {
  return {
    ...rest,
    plain_because: plain_because === null ? null : text(plain_because, MAX_DETAIL),
    tracks: tracks.slice(0, MAX_TRACKS).map((track) => ({ ...track, label: text(track.label, MAX_LABEL) })),
  };
}

/** The last entry counts those that do not fit. */
function firstOf(omissions: MediaReport["left_out"]): MediaReport["left_out"] {
  if (omissions.length <= MAX_LEFT_OUT) return omissions;
  const kept = omissions.slice(0, MAX_LEFT_OUT - 1);
  const detail = `${omissions.length - kept.length} more`;
  return [...kept, { kind: omissions[kept.length]!.kind, code: "more", detail }];
}

function coded(code: string, detail: string): { code: string; detail: string } {
  return { code: text(code, MAX_CODE), detail: text(detail, MAX_DETAIL) };
}

function text(value: string, length: number): string {
  return value.slice(0, length).toWellFormed().replace(/\p{Cc}/gu, " ");
}
