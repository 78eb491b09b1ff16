// Synthetic sites: an item like the Internet Archive's, and an instance like PeerTube's.
import { pages, type Site } from "./sites.ts";

export const ARCHIVE_ITEM = {
  metadata: { identifier: "open_film", licenseurl: "https://licences.test/by/4.0/" },
  files: [
    {
      name: "Open Film ep1.mkv",
      source: "original",
      format: "Matroska",
      size: "734003200",
      width: "1920",
      height: "1080",
      sha1: "aa",
    },
    {
      name: "Open Film ep1.mp4",
      source: "derivative",
      original: "Open Film ep1.mkv",
      format: "h.264",
      size: "1000",
      height: "480",
    },
    {
      name: "Open Film ep1_512kb.mp4",
      source: "derivative",
      original: "Open Film ep1.mkv",
      format: "512Kb MPEG4",
      size: "500",
      height: "240",
    },
    { name: "Open Film ep1.en.vtt", source: "original", format: "WebVTT", size: "12" },
    { name: "Open Film ep2.mkv", source: "original", format: "Matroska", height: "1080" },
    { name: "open_film_meta.xml", source: "original", format: "Metadata", size: "1" },
  ],
};

export function internetArchive(item: unknown): Site {
  return pages({ "/metadata/open_film": () => Response.json(item) });
}

const file = (id: number, url: string, more = {}) => ({ resolution: { id, label: `${id}p` }, fileUrl: url, ...more });

export const PEERTUBE_VIDEO = {
  name: "Open film",
  downloadEnabled: true,
  licence: { id: 1, label: "Attribution" },
  files: [
    file(720, "https://tube.test/static/720.mp4"),
    file(360, "https://tube.test/static/360.mp4"),
    file(0, "https://tube.test/static/audio.mp4"),
  ],
  streamingPlaylists: [],
};

export const PEERTUBE_SPLIT = {
  ...PEERTUBE_VIDEO,
  files: [],
  streamingPlaylists: [{
    playlistUrl: "https://tube.test/hls/master.m3u8",
    files: [
      file(1080, "https://tube.test/hls/1080.mp4", { hasAudio: false, hasVideo: true }),
      file(0, "https://tube.test/hls/0.mp4", { hasAudio: true, hasVideo: false }),
    ],
  }],
};

export const PEERTUBE_FILES_IN_PLAYLIST = {
  ...PEERTUBE_VIDEO,
  files: [],
  streamingPlaylists: [{
    playlistUrl: "https://tube.test/hls/master.m3u8",
    files: [file(480, "https://tube.test/hls/480.mp4")],
  }],
};

export function peertube(video: unknown): Site {
  return pages({
    "/api/v1/videos/abc": () => Response.json(video),
    "/api/v1/videos/abc/captions": () =>
      Response.json({
        total: 1,
        data: [{ language: { id: "id", label: "Indonesian" }, captionPath: "/lazy/abc-id.vtt" }],
      }),
    "/api/v1/videos/abc/chapters": () => Response.json({ chapters: [{ timecode: 12, title: "Opening" }] }),
    "/api/v1/video-playlists/list/videos": (_request, url) => {
      const start = Number(url.searchParams.get("start"));
      return Response.json({ total: 2, data: start === 1 ? [{ position: 2, video: { uuid: "abc" } }] : [] });
    },
    "/api/v1/videos/missing": () =>
      new Response(JSON.stringify({ type: "about:blank", title: "Not Found", status: 404 }), {
        status: 404,
        headers: { "content-type": "application/problem+json" },
      }),
  });
}
