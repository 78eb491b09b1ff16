/** Emulates Docker's engine for its real client. Example: `await using engine = startDockerEngine()`, then `docker` with DOCKER_HOST. */

/** The part of Docker's engine API that a build and a run use. */
export function startDockerEngine() {
  let built: string | null = null;
  let env: string[] = [];
  const headers = { "Api-Version": "1.41", "content-type": "application/json" };
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    const body = pathname.endsWith("/create") ? await request.json() : void await request.body?.cancel();
    if (pathname.endsWith("/_ping")) return new Response("OK", { headers });
    if (pathname.endsWith("/build")) {
      built = searchParams.get("dockerfile");
      return new Response('{"stream":"Successfully built 1"}\n', { headers });
    }
    if (pathname.endsWith("/containers/create")) {
      env = body.Env;
      return new Response('{"Id":"1","Warnings":[]}', { status: 201, headers });
    }
    if (pathname.endsWith("/start")) return new Response(null, { status: 204, headers });
    return new Response(pathname.includes("/wait") ? '{"StatusCode":0}' : "{}", { headers });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    built: () => built,
    env: () => env,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}
