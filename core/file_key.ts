// The name of an archived file: the same on every machine with the same salt, and not guessable without it.
// Example: fileKey({ salt: "s", malId: 55825, episode: 1, provider: "animasu", resolution: "720p" }) → 32 hex digits

export interface FileKeyInput {
  readonly salt: string;
  readonly malId: number;
  readonly episode: number;
  readonly provider: string;
  readonly resolution: string | null;
}

/** First 32 hex digits of sha256("{salt}:{malId}:{episode}:{provider}:{resolution|unknown}"). */
export async function fileKey(input: FileKeyInput): Promise<string> {
  const { salt, malId, episode, provider, resolution } = input;
  const text = `${salt}:${malId}:${episode}:${provider}:${resolution ?? "unknown"}`;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(digest.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
