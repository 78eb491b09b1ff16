/** The identity file of a storage target, `.keepstream-target`. Example: {"id":"6f1c1f0e-5f0a-4c39-9a57-0c5e0f6f5a11","version":1}. */

import { z } from "zod";
import { readAll } from "../transfer/fetch_once.ts";

export const MARKER_NAME = ".keepstream-target";
const MAX_MARKER_BYTES = 1024;

const markerSchema = z.object({ id: z.uuid(), version: z.literal(1) });

export function markerText(id: string): string {
  return `${JSON.stringify({ id, version: 1 })}\n`;
}

/** The id; null if the text is not a marker of this version. */
export function parseMarker(text: string): string | null {
  try {
    return markerSchema.safeParse(JSON.parse(text)).data?.id ?? null;
  } catch {
    return null;
  }
}

/** Throws if the file is too long for a marker. */
export async function readMarkerText(body: ReadableStream<Uint8Array>): Promise<string> {
  return await (await readAll(body, MAX_MARKER_BYTES)).text();
}
