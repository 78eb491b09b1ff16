// Preflights of browsers: every header that today's clients send is allowed, at both functions and through the gateway.
import assert from "node:assert/strict";
import { corsHeaders } from "@supabase/supabase-js/cors";
import { startFunction } from "../dev/testing/function_process.ts";
import { createFunctionFixture } from "../dev/testing/function_fixture.ts";

/** Of supabase-js, its options and its tracing, and of callers that send conditional or uncached requests. */
const HEADERS = [
  ...corsHeaders["Access-Control-Allow-Headers"]!.split(",").map((name) => name.trim()),
  ...["traceparent", "tracestate", "baggage", "cache-control", "x-region", "x-retry-count"],
  ...["apikey", "authorization", "content-type", "if-none-match", "x-client-info", "x-request-id", "pragma"],
];
const EXPOSED = ["etag", "ratelimit", "ratelimit-policy", "retry-after", "server-timing", "x-request-id"];

Deno.test("preflight: the headers of supabase-js and of tracing → allowed", async () => {
  await using fixture = await createFunctionFixture();
  await using streaming = await startFunction({ entry: "functions/streaming/index.ts", env: fixture.env });
  await using archive = await startFunction({ entry: "functions/archive/index.ts", env: fixture.env });
  fixture.setFunction("streaming", streaming.url);
  fixture.setFunction("archive", archive.url);
  const bases = [streaming.url, archive.url, `${fixture.gatewayUrl}/functions/v1`, `${fixture.gatewayUrl}/api/v1`];
  for (const base of bases) {
    const paths = [["GET", "/streaming/1/1"], ["POST", "/streaming/1/1"], ["PUT", "/archive/mappings/1/x"]] as const;
    for (const [method, path] of paths) {
      if (
        base === streaming.url ? path.startsWith("/archive") : base === archive.url && path.startsWith("/streaming")
      ) continue;
      const response = await fetch(base + path, {
        method: "OPTIONS",
        headers: {
          origin: "https://site.test",
          "access-control-request-method": method,
          "access-control-request-headers": HEADERS.join(","),
        },
      });
      await response.body?.cancel();
      const list = (name: string) =>
        (response.headers.get(name) ?? "").toLowerCase().split(",").map((one) => one.trim());
      assert.deepEqual([response.status, response.headers.get("access-control-allow-origin")], [204, "*"]);
      assert.deepEqual(HEADERS.filter((name) => !list("access-control-allow-headers").includes(name)), [], base + path);
      assert.ok(list("access-control-allow-methods").includes(method.toLowerCase()));
    }
  }
  for (const url of [`${streaming.url}/streaming/1/1`, `${archive.url}/archive/counts`, `${archive.url}/nowhere`]) {
    const response = await fetch(url, { headers: { origin: "https://site.test" } });
    await response.body?.cancel();
    assert.equal(response.headers.get("access-control-allow-origin"), "*");
    const exposed = (response.headers.get("access-control-expose-headers") ?? "").split(",").map((one) => one.trim());
    assert.deepEqual(EXPOSED.filter((name) => !exposed.includes(name)), []);
  }
});
