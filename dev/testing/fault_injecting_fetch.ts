// A fetch for tests that replaces responses: the request goes to the real server or not, and a fault decides what is returned.
// Example: `injectFaults((request) => request.method === "PUT" ? new Response(null, { status: 503 }) : null, 1)`.

/** The response to a request; `pass` fetches the real one. null does not change the request. */
export type Bend = (request: Request, pass: () => Promise<Response>) => Promise<Response> | Response | null;

/** Applies the fault to the first `times` requests that it changes. `sent` lists all requests, as `GET /path?query`. */
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
