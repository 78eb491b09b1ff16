// A fetch for tests that replaces responses: the request goes to the real server or not, and a fault decides what is returned.
// Example: `faultInjectingFetch((request) => request.method === "PUT" ? new Response(null, { status: 503 }) : null, 1)`.

/** The response to a request; `pass` fetches the real one. null does not change the request. */
export type Fault = (request: Request, pass: () => Promise<Response>) => Promise<Response> | Response | null;

/** Applies the fault to the first `times` requests that it changes. `sent` lists all requests, as `GET /path?query`. */
export function faultInjectingFetch(fault: Fault, times: number): { fetch: typeof fetch; sent: string[] } {
  let left = times;
  const sent: string[] = [];
  const faulty: typeof fetch = async (input, init) => {
    const request = new Request(input, { ...init, body: undefined });
    const { pathname, search } = new URL(request.url);
    sent.push(`${request.method} ${pathname}${search}`);
    const pass = () => fetch(input, init);
    const response = left > 0 ? fault(request, pass) : null;
    if (response === null) return await pass();
    left--;
    return await response;
  };
  return { fetch: faulty, sent };
}
