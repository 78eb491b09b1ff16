/**
 * Sends what `net.http_post` queued, like pg_net's background worker: after the commit, up to 200 requests in
 * one transaction that also stores the responses, then a pause of at most 1 s that only the first wake-up of a burst
 * ends early. Never repeats a request, except that a batch is sent again if the worker dies in it.
 * After pg_net's worker.c and core.c.
 */
import createClient, { type Sql } from "postgres";
import { createTransactionPool, RECONNECT_SECONDS, type TransactionPool } from "./transaction.ts";

const BATCH_SIZE = 200;
const PAUSE_MS = 1000;
const RESPONSE_TTL = "6 hours";
const MAX_REDIRECTS = 30;
const VERSION = "0.20.0";

export interface NetWorker {
  stop(): Promise<void>;
}

export interface NetWorkerOptions {
  /** As the superuser, like the real worker. */
  readonly databaseUrl: string;
  readonly log?: (line: string) => void;
}

export async function startNetWorker(options: NetWorkerOptions): Promise<NetWorker> {
  const log = options.log ?? (() => {});
  const sql = createClient(options.databaseUrl, {
    max: 1,
    onnotice: () => {},
    fetch_types: false, // nothing could catch a failure of that query
    backoff: () => RECONNECT_SECONDS,
    connection: { application_name: `pg_net ${VERSION}` },
  });
  const pool = createTransactionPool(options.databaseUrl, { size: 1, name: `pg_net ${VERSION}` });
  const latch = new Latch();
  const stopping = new AbortController();
  let shouldWake = true; // requests queued before this start are sent immediately
  const wake = () => {
    if (shouldWake) return; // only the first wake-up of a burst sets the latch
    shouldWake = true;
    latch.set();
  };
  const subscription = await sql.listen("pg_net_wake", wake, wake);
  const loop = (async () => {
    while (!stopping.signal.aborted) {
      if (!shouldWake) {
        await latch.wait();
        continue;
      }
      shouldWake = false;
      try {
        while (!stopping.signal.aborted) {
          const { consumed, expired } = await sendBatch({ sql, pool, stopping: stopping.signal });
          await latch.wait(PAUSE_MS);
          if (consumed === 0 && expired === 0) break;
        }
      } catch (error) {
        if (stopping.signal.aborted) break;
        log(`batch failed, trying again: ${error instanceof Error ? error.message : error}`);
        shouldWake = true;
        await latch.wait(PAUSE_MS);
      }
    }
  })();
  return {
    async stop() {
      stopping.abort();
      latch.set();
      await loop;
      await subscription.unlisten().catch(() => {}); // the server may have stopped already
      await Promise.all([sql.end({ timeout: 1 }), pool.end()]);
    },
  };
}

interface QueuedRequest {
  readonly id: string;
  readonly method: string;
  readonly url: string;
  readonly timeout_milliseconds: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array<ArrayBuffer> | null;
}

type NetResponse =
  | { readonly status: number; readonly headers: Headers; readonly text: string }
  | { readonly error: string; readonly timedOut: boolean };

/** One transaction for the whole batch, as in the real worker: an interrupted batch is sent again. */
async function sendBatch(
  { sql, pool, stopping }: { sql: Sql; pool: TransactionPool; stopping: AbortSignal },
): Promise<{ consumed: number; expired: number }> {
  const [installed] = await sql`select to_regclass('net.http_request_queue') is not null as yes`;
  if (!installed?.yes) return { consumed: 0, expired: 0 };
  const { count: expired } = await sql`
    with rows as (
      select ctid from net._http_response where created < now() - ${RESPONSE_TTL}::interval order by created limit ${BATCH_SIZE}
    )
    delete from net._http_response r using rows where r.ctid = rows.ctid`;
  const consumed = await pool.transaction({ readOnly: false }, async (transaction, isLost) => {
    const requests = await transaction<QueuedRequest[]>`
      with taken as (
        delete from net.http_request_queue
        where id in (select id from net.http_request_queue order by id limit ${BATCH_SIZE}) returning *
      )
      select id, method, url, timeout_milliseconds, body,
        (select coalesce(jsonb_agg(jsonb_build_array(key, value)), '[]') from jsonb_each_text(headers)) as headers
      from taken order by id`;
    if (requests.length === 0) return 0;
    const responses = await Promise.all(requests.map(async (request) => toRow(request, await send(request, stopping))));
    stopping.throwIfAborted(); // interrupted responses are not stored: the next worker sends again
    if (isLost()) throw new Error("the connection was lost while the requests were sent");
    await transaction`
      insert into net._http_response (id, status_code, content, headers, content_type, timed_out, error_msg)
      select id, status_code, content, headers, content_type, timed_out, error_msg
      from jsonb_to_recordset(${JSON.stringify(responses)}::text::jsonb) as _(
        id bigint, status_code int, content text, headers jsonb, content_type text, timed_out bool, error_msg text)`;
    return requests.length;
  });
  return { consumed, expired };
}

/** A row of `net._http_response`. */
function toRow({ id }: QueuedRequest, response: NetResponse): Record<string, unknown> {
  if ("error" in response) return { id, timed_out: response.timedOut, error_msg: response.error };
  return {
    id,
    status_code: response.status,
    content: response.text.replaceAll("\0", "") || null, // Postgres text cannot contain NUL
    headers: Object.fromEntries(response.headers),
    content_type: response.headers.get("content-type"),
    timed_out: false,
  };
}

async function send(request: QueuedRequest, stopping: AbortSignal): Promise<NetResponse> {
  const timeout = AbortSignal.timeout(request.timeout_milliseconds);
  try {
    return await fetchFollowing(request, AbortSignal.any([timeout, stopping]));
  } catch (error) {
    if (timeout.aborted) {
      return { error: `Timeout of ${request.timeout_milliseconds} ms reached.`, timedOut: true };
    }
    return { error: curlMessage(error), timedOut: false };
  }
}

/** Follows redirects like curl with CURLOPT_FOLLOWLOCATION: a POST becomes a GET on 301, 302 and 303. */
async function fetchFollowing(request: QueuedRequest, signal: AbortSignal): Promise<NetResponse> {
  let url = request.url;
  let method = request.method.toUpperCase();
  let body = request.body;
  let crossedHosts = false;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const headers = new Headers(request.headers.map(([name, value]): [string, string] => [name, value]));
    headers.set("user-agent", `pg_net/${VERSION}`);
    if (crossedHosts) headers.delete("authorization"); // like libcurl
    const response = await fetch(url, {
      method,
      headers,
      signal,
      redirect: "manual",
      ...(method === "GET" ? {} : { body }),
    });
    const location = response.headers.get("location");
    if (location === null || ![301, 302, 303, 307, 308].includes(response.status)) {
      return { status: response.status, headers: response.headers, text: await response.text() };
    }
    await response.body?.cancel();
    const next = new URL(location, url);
    crossedHosts ||= next.host !== new URL(url).host;
    url = next.href;
    if (response.status <= 303 && method === "POST") [method, body] = ["GET", null];
  }
  throw new Error("Number of redirects hit maximum amount");
}

function curlMessage(error: unknown): string {
  const text = error instanceof Error
    ? `${error.message} ${error.cause instanceof Error ? error.cause.message : ""}`
    : "";
  if (/dns error|failed to lookup/i.test(text)) return "Couldn't resolve host name";
  if (/certificate|tls/i.test(text)) return "SSL peer certificate or SSH remote key was not OK";
  if (/connect|refused|unreachable/i.test(text)) return "Couldn't connect to server";
  return text.trim() || "Failure when receiving data from the peer";
}

/** A flag that can be awaited, like Postgres' latches: one wait consumes it. */
class Latch {
  #set = false;
  #wake: (() => void) | undefined;

  set(): void {
    this.#set = true;
    this.#wake?.();
  }

  /** Returns when the flag is set, or after `milliseconds`, and clears it. */
  async wait(milliseconds?: number): Promise<void> {
    if (!this.#set) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = milliseconds === undefined ? undefined : setTimeout(resolve, milliseconds);
      await promise;
      clearTimeout(timer);
      this.#wake = undefined;
    }
    this.#set = false;
  }
}
