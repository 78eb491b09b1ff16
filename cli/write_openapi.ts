// `deno task openapi`: writes docs/reference/openapi.json from the document that the functions serve.
import { commandLine } from "./command_line.ts";
import { openApiDocument } from "../functions/_shared/openapi.ts";

commandLine({ usage: "usage: deno task openapi" });

const path = new URL("../docs/reference/openapi.json", import.meta.url);
await Deno.writeTextFile(path, JSON.stringify(openApiDocument, null, 2) + "\n");
console.log(`wrote ${path.pathname}`);
