// Reads pages within limits: each redirect is checked, bodies are capped, retries and concurrent requests per host are bounded.
// Example: (await client.read("https://a.test/ep-1")).text. Runs on: Deno, edge runtime.
import { type HttpUrl, parseHttpUrl } from "../../core/http_url.ts";
import { checkUrl, type UrlPolicy } from "../../core/url_policy.ts";
import type { PerHostLimiter } from "./per_host_limiter.ts";
import { type HtmlDocument, parseHtml } from "../page/html.ts";
import { createParseBudget, MAX_PARSED_PAGE_BYTES, type ParseBudget } from "../page/parse_budget.ts";
import { retry, type RetryPolicy } from "../../core/retry.ts";
import { SourceError, toSourceError } from "../source_error.ts";

export const DEFAULT_USER_AGENT =
  "keepstream/1.0 (+https://github.com/keepstream; reads pages its operator configured)";
export const MAX_PAGE_BYTES = 4 * 1024 * 1024;
export const REQUEST_TIMEOUT_MS = 5_000;
const MAX_REDIRECTS = 5;
const RETRY_POLICY: RetryPolicy = { attempts: 3, delayMs: 150, jitter: 0 };
const MAX_RETRY_AFTER_MS = 2_000;
const CREDENTIALS = /^(?:cookie|authorization|x-(?:csrf|xsrf)-token)$/i;

export type Fetch = (input: string, init?: RequestInit) => Promise<Response>;

/** Headers that may contain a cookie or a credential; sent to this origin only. */
export interface SiteHeaders {
  readonly origin: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface PageClientOptions {
  readonly fetch: Fetch;
  readonly signal: AbortSignal;
  readonly policy?: UrlPolicy;
  readonly userAgent?: string;
  /** Limits concurrent requests per host; shared by all clients of a process. */
  readonly limiter?: PerHostLimiter;
  readonly requestsPerHost?: number;
  /** Timeout of a request including redirects and body, without the time spent waiting for the limiter. */
  readonly timeoutMs?: number;
  /** Called with every URL before its request; throws to refuse it (robots.txt, private name). */
  readonly beforeRequest?: (url: URL, signal: AbortSignal) => Promise<void>;
  readonly siteHeaders?: SiteHeaders;
  readonly maxBytes?: number;
  /** How much HTML may be parsed for this response in total. */
  readonly parseBudget?: ParseBudget;
}

export interface PageRequest {
  readonly method?: "GET" | "POST" | "HEAD";
  readonly headers?: Readonly<Record<string, string>>;
  /** Called for every attempt: a FormData body cannot be sent twice. */
  readonly body?: () => BodyInit;
  readonly maxBytes?: number;
  /** What to do with a body beyond `maxBytes`; "cut" keeps the complete lines. @default "refuse" */
  readonly overlong?: "refuse" | "cut";
  /** Overrides the charset of the response. */
  readonly charset?: string;
  /** Whether to skip the body (media instead of a page); the text is then empty. */
  readonly skipBody?: (headers: Headers) => boolean;
  /** Whether to accept a response other than 2xx, judging by the start of its body. */
  readonly acceptBody?: (status: number, start: string) => boolean;
}

export interface Page {
  /** The URL after redirects. */
  readonly url: HttpUrl;
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

export interface PageClient {
  /** Reads a whole page. @throws {SourceError} */
  read(url: string, request?: PageRequest): Promise<Page>;
  /** Reads a page of HTML and parses it. @throws {SourceError} `too_large` if that would exceed the budget */
  document(url: string, request?: PageRequest): Promise<Page & { readonly document: HtmlDocument }>;
  /** Reads a JSON document. @throws {SourceError} `parse` if it is not JSON */
  json(url: string, request?: PageRequest): Promise<unknown>;
  /** Reads the headers only. @throws {SourceError} */
  head(url: string, request?: PageRequest): Promise<Omit<Page, "text">>;
}

interface Hop {
  readonly url: string;
  /** Of the first URL of the chain. */
  readonly origin: string;
  /** Status of the redirect to this URL. */
  readonly status?: number;
  readonly method: NonNullable<PageRequest["method"]>;
  readonly body: PageRequest["body"];
}

interface HopTools<T> {
  readonly signal: AbortSignal;
  readonly use: (response: Response) => Promise<T>;
}

interface Read<T> extends Omit<Page, "text"> {
  readonly used: T;
}

export function createPageClient(options: PageClientOptions): PageClient {
  const budget = options.parseBudget ?? createParseBudget();
  let waited = false;

  /** A request that waited for the limiter and is then aborted from outside does not count against the site. */
  function failureOf(thrown: unknown): SourceError {
    const error = toSourceError(thrown, options.signal);
    const cutOff = error !== thrown && error.reason === "timeout" && options.signal.aborted;
    if (!cutOff || !waited) return error;
    return new SourceError("busy", "too many concurrent requests to the site's host", { cause: thrown });
  }

  /** One request of a redirect chain: returns the next hop, or the result. */
  async function hop<T>(
    { url, method, body, origin }: Hop,
    request: PageRequest,
    { signal, use }: HopTools<T>,
  ): Promise<Hop | Read<T>> {
    const target = allowedTarget(url, options.policy);
    const at = absolute(target.href);
    if (options.beforeRequest) await orAborted(options.beforeRequest(target, signal), signal);
    const response = await options.fetch(target.href, {
      method,
      body: body?.() ?? null,
      redirect: "manual",
      signal,
      headers: {
        "user-agent": options.userAgent ?? DEFAULT_USER_AGENT,
        accept: "text/html,application/json;q=0.9,*/*;q=0.8",
        ...(options.siteHeaders?.origin === target.origin && options.siteHeaders.headers),
        ...(origin === target.origin ? request.headers : withoutCredentials(request.headers)),
      },
    });
    const { status, headers } = response;
    const location = redirectOf(response);
    if (location !== null) {
      await response.body?.cancel();
      const next = absolute(location, at);
      // RFC 9110 section 15.4: 303 always becomes GET, 301 and 302 do in practice; 307 and 308 keep the method.
      const becomesGet = status === 303 || (status < 303 && method === "POST");
      return becomesGet
        ? { url: next, origin, status, method: "GET", body: undefined }
        : { url: next, origin, status, method, body };
    }
    if (response.ok) return { url: at, status, headers, used: await use(response) };
    const start = await readStart(response);
    if (!request.acceptBody?.(status, start)) throw refusal(response, start);
    return { url: at, status, headers, used: await use(new Response(start)) };
  }

  async function once<T>(
    url: string,
    request: PageRequest,
    use: (response: Response) => Promise<T>,
  ): Promise<Read<T>> {
    const deadline = new AbortController();
    const signal = AbortSignal.any([options.signal, deadline.signal]);
    const { limiter, requestsPerHost } = options;
    const turn = { signal: options.signal, limit: requestsPerHost, onWait: () => void (waited = true) };
    let leftMs = options.timeoutMs ?? REQUEST_TIMEOUT_MS;

    /** Does not count the time spent waiting for the limiter. */
    const timed = async (next: Hop) => {
      const startedAt = performance.now();
      const late = () => deadline.abort(new DOMException("the request took too long", "TimeoutError"));
      const timer = setTimeout(late, Math.max(0, leftMs));
      try {
        return await hop(next, request, { signal, use });
      } catch (thrown) {
        throw deadline.signal.aborted ? toSourceError(thrown, signal) : failureOf(thrown);
      } finally {
        clearTimeout(timer);
        leftMs -= performance.now() - startedAt;
      }
    };

    let next: Hop = { url, origin: originOf(url), method: request.method ?? "GET", body: request.body };
    for (let count = 0; count <= MAX_REDIRECTS; count++) {
      const at = next;
      const result = limiter ? await limiter.run(hostOf(at.url), turn, () => timed(at)) : await timed(at);
      if ("used" in result) return result;
      next = result;
    }
    const { status } = next;
    throw new SourceError("http_5xx", `more than ${MAX_REDIRECTS} redirects`, {
      again: false,
      ...(status && { status }),
    });
  }

  function retrying<T>(url: string, request: PageRequest, use: (response: Response) => Promise<T>): Promise<Read<T>> {
    const { signal } = options;
    const attempt = () => once(url, request, use).catch((thrown) => Promise.reject(failureOf(thrown)));
    return retry(attempt, RETRY_POLICY, { signal, retryable: isRetryable, delayFor: requestedDelayMs });
  }

  async function read(url: string, request: PageRequest = {}): Promise<Page> {
    const limit = request.maxBytes ?? options.maxBytes ?? MAX_PAGE_BYTES;
    const { used, ...page } = await retrying(url, request, async (response) => {
      if (!request.skipBody?.(response.headers)) return await readText(response, limit, request);
      await response.body?.cancel();
      return "";
    });
    return { ...page, text: used };
  }

  return {
    read,
    async document(url, request = {}) {
      const page = await read(url, { maxBytes: MAX_PARSED_PAGE_BYTES, ...request });
      return { ...page, document: await parseHtml(page.text, budget) };
    },
    async json(url, request = {}) {
      const page = await read(url, request);
      try {
        return JSON.parse(page.text);
      } catch (cause) {
        throw new SourceError("parse", "the response is not JSON", { cause });
      }
    },
    async head(url, request = {}) {
      const { used: _used, ...page } = await retrying(
        url,
        { method: "HEAD", ...request },
        async (response) => await response.body?.cancel(),
      );
      return page;
    },
  };
}

function isRetryable(error: unknown): boolean {
  return error instanceof SourceError && error.again;
}

/** The site's Retry-After, if it is short enough to wait for it within a response. */
function requestedDelayMs(error: unknown): number | undefined {
  const seconds = error instanceof SourceError ? error.retryAfterSeconds : undefined;
  return seconds === undefined ? undefined : Math.min(seconds * 1000, MAX_RETRY_AFTER_MS);
}

/** Reads a body as text; refuses or cuts it at the limit, regardless of Content-Length. */
async function readText(
  response: Response,
  maxBytes: number,
  { overlong, charset }: Pick<PageRequest, "overlong" | "charset">,
): Promise<string> {
  if (!response.body) return "";
  const decoder = new TextDecoder(charset ?? charsetOf(response.headers.get("content-type")));
  const reader = response.body.getReader();
  let text = "";
  let received = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    received += value.byteLength;
    if (received > maxBytes) {
      await reader.cancel();
      if (overlong === "cut") {
        const kept = text + decoder.decode(value.subarray(0, value.byteLength - received + maxBytes));
        return kept.slice(0, Math.max(kept.lastIndexOf("\n"), kept.lastIndexOf("\r")) + 1);
      }
      throw new SourceError("too_large", `the page is larger than ${maxBytes} bytes`);
    }
    text += decoder.decode(value, { stream: true });
  }
}

/** The absolute form of a URL to request. @throws {SourceError} `invalid_input` if it is not http or https */
export function absolute(reference: string, base?: string): HttpUrl {
  const url = parseHttpUrl(reference, base);
  if (url !== null) return url;
  throw new SourceError("invalid_input", "a URL that is not http or https, or cannot be parsed");
}

function allowedTarget(url: string, policy: UrlPolicy | undefined): URL {
  const checked = checkUrl(url, policy ?? {});
  if (checked.ok) return checked.value;
  throw new SourceError(checked.error.code, `the URL is refused: ${checked.error.reason}`);
}

function redirectOf(response: Response): string | null {
  return [301, 302, 303, 307, 308].includes(response.status) ? response.headers.get("location") : null;
}

function refusal(response: Response, start: string): SourceError {
  const { status } = response;
  const message = `the site responded with ${status}`;
  const challenged = response.headers.get("cf-mitigated") === "challenge" ||
    /just a moment|cf-challenge|captcha|attention required/i.test(start);
  if (challenged && [403, 429, 503].includes(status)) {
    return new SourceError("blocked", `${message} with a challenge page`, { status });
  }
  const retryAfterSeconds = Number(response.headers.get("retry-after")) || undefined;
  if (status === 429) return new SourceError("blocked", message, { status, again: true, retryAfterSeconds });
  if (status === 408 || status >= 500) {
    return new SourceError("http_5xx", message, { status, again: true, retryAfterSeconds });
  }
  return new SourceError("http_4xx", message, { status });
}

/** The first kilobytes of an error page; the rest is cancelled. */
async function readStart(response: Response): Promise<string> {
  if (!response.body) return "";
  const reader = response.body.getReader();
  try {
    const { value } = await reader.read();
    return new TextDecoder().decode(value?.subarray(0, 4096));
  } finally {
    await reader.cancel();
  }
}

function charsetOf(contentType: string | null): string {
  const charset = /charset\s*=\s*"?([\w-]+)/i.exec(contentType ?? "")?.[1] ?? "utf-8";
  try {
    return new TextDecoder(charset).encoding;
  } catch {
    return "utf-8"; // an unknown charset label: browsers fall back too
  }
}

/** A DNS lookup may hang and ignore signals. */
async function orAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Only the origin that a request is for gets its cookies and tokens, not the one it is redirected to. */
function withoutCredentials(headers: PageRequest["headers"] = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !CREDENTIALS.test(name)));
}

function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : "";
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "";
}
