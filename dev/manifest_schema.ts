/** The JSON Schema of what a manifest states, from the schema that keepstream reads it with. */
import { z } from "zod";
import { manifestSchema } from "../core/manifest/manifest.ts";
import { MANIFEST_FORMAT, MANIFEST_VERSION } from "../core/manifest/sealing.ts";

export function manifestJsonSchema(): Record<string, unknown> {
  const envelope = z.object({
    format: z.literal(MANIFEST_FORMAT),
    version: z.literal(MANIFEST_VERSION),
    kid: z.string().regex(/^[0-9a-f]{16}$/).describe(
      "Derived from HF_FILE_SALT; tells which salt the manifest was sealed with.",
    ),
    iv: z.base64().describe("12 bytes."),
    sealed: z.base64().describe("AES-256-GCM: ciphertext and tag of the JSON text that this schema describes."),
  });
  const { $schema, ...content } = z.toJSONSchema(manifestSchema, { io: "input" });
  const { $schema: _, ...outer } = z.toJSONSchema(envelope);
  return {
    $schema,
    title: "Manifest of an archive, version 1: the content of the sealed part",
    ...content,
    $defs: { envelope: { title: "The file {file_key}.manifest", ...outer } },
  };
}
