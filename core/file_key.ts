// The name of an archived file: the same on every machine with the same salt, and not guessable without it.
// Example: fileKey({ salt: "s", malId: 55825, episode: 1, provider: "animasu", resolution: "720p" }) → 32 hex digits

export interface FileKeyInput {
  readonly salt: string;
  readonly malId: number;
  readonly episode: number;
  readonly provider: string;
  readonly resolution: string | null;
}

/** The key of an archive that is rewritten beside the one with `key`: first 32 hex digits of sha256("{salt}:{key}:rewritten"). */
export async function rewrittenKey({ salt, key }: { salt: string; key: string }): Promise<string> {
  return await firstDigits(`${salt}:${key}:rewritten`);
}

/** First 32 hex digits of sha256("{salt}:{malId}:{episode}:{provider}:{resolution|unknown}"). */
export async function fileKey(input: FileKeyInput): Promise<string> {
  const { salt, malId, episode, provider, resolution } = input;
  return await firstDigits(`${salt}:${malId}:${episode}:${provider}:${resolution ?? "unknown"}`);
}

async function firstDigits(text: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(digest.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
