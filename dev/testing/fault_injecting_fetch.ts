// A fetch whose answers a test bends: the request goes to the real server, or not, and what comes back is the bend's.
// Example: `bentFetch((request) => request.method === "PUT" ? new Response(null, { status: 503 }) : null, 1)`. Runs on: Deno.

/** What a request is answered with, `pass` being the real answer; null leaves it alone. */
export type Bend = (request: Request, pass: () => Promise<Response>) => Promise<Response> | Response | null;

/** Bends the first `times` requests that the bend does not leave alone. `sent` lists all requests, as `GET /path?query`. */
export function bentFetch(bend: Bend, times: number): { fetch: typeof fetch; sent: string[] } {
  let left = times;
  const sent: string[] = [];
  const bent: typeof fetch = async (input, init) => {
    const request = new Request(input, { ...init, body: undefined });
    const { pathname, search } = new URL(request.url);
    sent.push(`${request.method} ${pathname}${search}`);
    const pass = () => fetch(input, init);
    const answer = left > 0 ? bend(request, pass) : null;
    if (answer === null) return await pass();
    left--;
    return await answer;
  };
  return { fetch: bent, sent };
}
