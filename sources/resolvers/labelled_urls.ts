// The list of qualities in one string. Example: "[360p]/a.mp4,[720p]/b.mp4 or /c.mp4" → { label: "360p", url: "/a.mp4" }, ….

export interface LabelledUrl {
  readonly label: string | null;
  readonly url: string;
}

const MAX_URLS = 50;

/** Null if the text is not such a list. */
export function labelledUrls(text: string): readonly LabelledUrl[] | null {
  if (!text.startsWith("[") || /^\[\s*[[{"'\]]/.test(text)) return null;
  const found: LabelledUrl[] = [];
  for (const part of text.split(/,(?=\s*\[)/, MAX_URLS)) {
    const end = part.indexOf("]");
    if (end === -1) return null;
    const label = part.slice(part.indexOf("[") + 1, end).trim();
    // Alternatives of one quality, and the audio track that may be named in braces.
    for (const url of part.slice(end + 1).split(/\s+or\s+|;/)) {
      found.push({ label: label || null, url: url.trim().replace(/^\{[^}]*\}/, "") });
    }
  }
  return found;
}
