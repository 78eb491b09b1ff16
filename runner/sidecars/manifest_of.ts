/** The manifest of an archive and its sidecars. Texts come from the source, so they are cut to what a manifest may contain. Pure. */
import type { Manifest } from "../../core/manifest/manifest.ts";
import type { Presentation } from "../../core/presentation.ts";
import { redactUrl } from "../../core/redact.ts";
import { VERSION } from "../../core/version.ts";
import type { Sidecar } from "../targets/target.ts";

const MAX_TRACKS = 120;
const MAX_CHAPTERS = 500;

export interface ArchiveDescription {
  readonly malId: number;
  readonly episode: number;
  readonly provider: string;
  readonly resolution: string | null;
  readonly fileKey: string;
  readonly file: { readonly sha256: string; readonly sizeBytes: number };
  readonly durationSeconds: number;
  readonly width: number | null;
  readonly height: number | null;
  readonly presentation: Presentation | null;
  readonly chapters: Manifest["chapters"];
  readonly title: string | null;
  readonly rights: string | null;
  /** URL of the page that named the video; its query is removed. */
  readonly page: string | null;
  readonly kind: string | null;
  readonly archivedAt: Date;
}

/** A manifest that exists already keeps what it states; only its list of sidecars changes. */
export function manifestOf(archive: ArchiveDescription | Manifest, sidecars: readonly Sidecar[]): Manifest {
  const stated = "file_key" in archive ? archive : statedBy(archive);
  return {
    ...stated,
    sidecars: sidecars.map(({ ending, file }) => ({
      name: stated.file_key + ending,
      size: file.sizeBytes,
      sha256: file.sha256,
    })),
  };
}

function statedBy(archive: ArchiveDescription): Omit<Manifest, "sidecars"> {
  const { fileKey, file, presentation } = archive;
  return {
    mal_id: archive.malId,
    episode: archive.episode,
    provider: archive.provider,
    resolution: archive.resolution,
    file_key: fileKey,
    file: { name: `${fileKey}.mp4`, size: file.sizeBytes, sha256: file.sha256 },
    duration: archive.durationSeconds,
    width: archive.width,
    height: archive.height,
    presentation: presentation === null ? null : {
      ...presentation,
      plain_because: cut(presentation.plain_because, 500),
      tracks: presentation.tracks.slice(0, MAX_TRACKS).map((track) => ({
        ...track,
        codec: cut(track.codec, 80),
        language: cut(track.language, 80),
        label: cut(track.label, 200),
      })),
    },
    chapters: archive.chapters.filter(({ seconds }) => seconds >= 0).slice(0, MAX_CHAPTERS).map((chapter) => ({
      ...chapter,
      title: cut(chapter.title, 300),
      kind: cut(chapter.kind, 20),
    })),
    title: cut(archive.title, 300),
    source: { page: archive.page === null ? null : cut(redactUrl(archive.page), 2000), kind: cut(archive.kind, 40) },
    rights: cut(archive.rights, 2000),
    archived_at: archive.archivedAt.toISOString(),
    keepstream: VERSION,
  };
}

function cut<Text extends string | null>(text: Text, length: number): Text {
  return text === null ? text : text.slice(0, length).toWellFormed().replace(/\p{Cc}/gu, " ") as Text;
}
