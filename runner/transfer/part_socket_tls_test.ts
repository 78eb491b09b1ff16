// Parts over TLS, against a real TLS server with certificates of our own CA: to which servers bytes and signed URLs are sent.

import assert from "node:assert/strict";

const TLS = new URL("../../dev/testing/tls/", import.meta.url).pathname;
const SIZE = 1_500_000;

interface Outcome {
  readonly statuses?: readonly number[];
  readonly error?: string;
}

/** Puts a file twice to a server with the certificate; returns the results and the server. */
async function put(options: { certificate: string; host?: string; trust?: boolean }) {
  const heads: string[] = [];
  let bodyBytes = 0;
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    cert: await Deno.readTextFile(`${TLS}${options.certificate}.pem`),
    key: await Deno.readTextFile(`${TLS}${options.certificate}.key`),
    onListen: () => {},
  }, async (request, info) => {
    heads.push(`${request.method} ${new URL(request.url).pathname} ${(info.remoteAddr as Deno.NetAddr).port}`);
    bodyBytes += (await request.bytes()).length;
    return new Response(null, { headers: { etag: '"e"' } });
  });
  const path = await Deno.makeTempFile({ prefix: "part-tls-" });
  await Deno.writeFile(path, new Uint8Array(SIZE));
  const url = `https://${options.host ?? "localhost"}:${server.addr.port}/part?sig=1`;
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", `${TLS}put_program.ts`, url, path],
    env: options.trust === false ? {} : { DENO_CERT: `${TLS}ca.pem` },
    stderr: "inherit",
  }).output();
  await server.shutdown();
  await Deno.remove(path);
  const outcome: Outcome = JSON.parse(new TextDecoder().decode(output.stdout));
  return { outcome, heads, bodyBytes };
}

for (const host of ["localhost", "127.0.0.1"]) {
  Deno.test(`PartSocket.put: TLS to ${host} → sent, connection kept`, async () => {
    const { outcome, heads, bodyBytes } = await put({ certificate: "localhost", host });
    assert.deepEqual(outcome, { statuses: [200, 200] });
    assert.equal(bodyBytes, 2 * SIZE);
    assert.equal(new Set(heads).size, 1, "one connection for both");
  });
}

for (
  const [what, options, reason] of [
    ["for another host", { certificate: "other" }, /not valid for name/],
    ["for another address", { certificate: "other", host: "127.0.0.1" }, /not valid for name/],
    ["that has expired", { certificate: "expired" }, /certificate expired/],
    ["of a CA that is not trusted", { certificate: "localhost", trust: false }, /UnknownIssuer/],
  ] as const
) {
  Deno.test(`PartSocket.put: a certificate ${what} → refused, nothing sent`, async () => {
    const { outcome, heads } = await put(options);
    assert.match(outcome.error ?? `sent: ${outcome.statuses}`, reason);
    assert.deepEqual(heads, []);
  });
}
