// `deno task openapi`: writes docs/openapi.json from the document that the functions serve.
import { openApiDocument } from "../../functions/_shared/openapi.ts";

const path = new URL("../../docs/openapi.json", import.meta.url);
await Deno.writeTextFile(path, JSON.stringify(openApiDocument, null, 2) + "\n");
console.log(`wrote ${path.pathname}`);
