// `deno task openapi`: generates the OpenAPI document from the routes of both functions. Writes functions/_shared/openapi.json, which they
// serve, and its copy docs/reference/openapi.json.
import { commandLine } from "../cli/command_line.ts";
import { openApiDocument } from "./openapi_document.ts";

commandLine({ usage: "usage: deno task openapi" });

const text = JSON.stringify(await openApiDocument(), null, 2) + "\n";
for (const path of ["../functions/_shared/openapi.json", "../docs/reference/openapi.json"]) {
  const file = new URL(path, import.meta.url);
  await Deno.writeTextFile(file, text);
  console.log(`wrote ${file.pathname}`);
}
