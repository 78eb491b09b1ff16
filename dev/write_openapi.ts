// `deno task openapi`: generates the OpenAPI document from the routes of both functions. Writes functions/_shared/openapi.json, which they
// serve, and its copy docs/reference/openapi.json; and the JSON Schema of manifests.
import { commandLine } from "../cli/command_line.ts";
import { manifestJsonSchema } from "./manifest_schema.ts";
import { openApiDocument } from "./openapi_document.ts";

commandLine({ usage: "usage: deno task openapi" });

const api = await openApiDocument();
const documents = {
  "../functions/_shared/openapi.json": api,
  "../docs/reference/openapi.json": api,
  "../docs/reference/manifest.schema.json": manifestJsonSchema(),
};
for (const [path, document] of Object.entries(documents)) {
  const file = new URL(path, import.meta.url);
  await Deno.writeTextFile(file, JSON.stringify(document, null, 2) + "\n");
  console.log(`wrote ${file.pathname}`);
}
