// Why a playlist is refused. Example: malformed("a segment without #EXTINF") → { code: "malformed", reason: … }

export interface PlaylistError {
  readonly code: "not_a_playlist" | "too_large" | "malformed";
  readonly reason: string;
  /** 1 is the first line. */
  readonly line?: number;
}

export function malformed(reason: string): PlaylistError {
  return { code: "malformed", reason };
}

export function moreThan(limit: number, what: string): PlaylistError {
  return { code: "too_large", reason: `more than ${limit} ${what}` };
}
