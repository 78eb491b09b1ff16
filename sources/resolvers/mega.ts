// Resolver `mega`: a link that contains its key, `/embed/{node}#{key}` or `/file/{node}#{key}`. The API returns a URL whose bytes
// are encrypted with that key (AES-128-CTR); the Worker and the runner decrypt them.
// Example: POST {api}/cs [{"a":"g","g":1,"p":"node"}] → [{"g":"https://…","s":1234,"at":"…"}] or [-9]. Runs on: Deno, edge.
import { z } from "zod";
import { decodeBase64 } from "../../core/base64url.ts";
import { parseHttpUrl } from "../../core/http_url.ts";
import { retry, type RetryPolicy } from "../../core/retry.ts";
import type { PageClient } from "../fetch/page_client.ts";
import { SourceError } from "../source_error.ts";
import { MAX_EXPECTED_PASSES, type MegaChallenge, parseMegaChallenge } from "./mega_challenge.ts";
import type { Resolved } from "./resolver.ts";

const KEY_BYTES = 32;
const RETRY_POLICY: RetryPolicy = { attempts: 4, delayMs: 200, jitter: 0 };
const MAX_PROOFS = 2;
const RETRY_AFTER_SECONDS = 60;
const EAGAIN = -3;
const ERATELIMIT = -4;
/** Error code: a proof of work is required. */
const PROOF_REQUIRED = -27;

const responseSchema = z.union([
  z.number().int().transform((code) => [code]),
  z.array(z.union([
    z.number().int(),
    z.string(), // the challenge after -27
    z.object({ g: z.string().optional(), s: z.number().int().min(0) }),
  ])).min(1),
]);

export interface MegaLink {
  readonly node: string;
  /** base64url of 32 bytes, as in the link. */
  readonly key: string;
}

/** The parts of a link, also of the older form `/#!node!key`; null for any other URL. */
export function parseMegaLink(url: string): MegaLink | null {
  if (!URL.canParse(url)) return null;
  const { pathname, hash } = new URL(url);
  const fragment = hash.slice(1);
  const node = /^\/(?:embed|file)\/([A-Za-z0-9_-]{8})$/.exec(pathname)?.[1];
  if (node !== undefined && /^[A-Za-z0-9_-]+$/.test(fragment)) return { node, key: fragment };
  const [, oldNode, oldKey] = /^!([A-Za-z0-9_-]{8})!([A-Za-z0-9_-]+)$/.exec(fragment) ?? [];
  return oldNode !== undefined && oldKey !== undefined ? { node: oldNode, key: oldKey } : null;
}

export interface MegaOptions {
  /** URL of the API, without `/cs`. */
  readonly apiUrl: string;
  readonly pages: PageClient;
  readonly pause: (ms: number) => Promise<void>;
  /** Solves a proof of work; absent where it would take too long. */
  readonly solve?: (challenge: MegaChallenge) => Promise<string>;
}

/** @throws {SourceError} gone, quota, parse, … */
export async function resolveMega(link: MegaLink, options: MegaOptions): Promise<Resolved> {
  if (decodeBase64(link.key)?.length !== KEY_BYTES) {
    throw new SourceError("invalid_input", "the link's key is not 32 bytes: a part of it is missing");
  }
  return await retry(
    async () => {
      const result = await requestWithProof(link.node, options);
      if (typeof result === "object") return resolvedFrom(result, link);
      throw refusal(result);
    },
    RETRY_POLICY,
    { retryable: isTryAgain, sleep: options.pause },
  );
}

/** The result, after a proof of work if one is required. */
async function requestWithProof(node: string, options: MegaOptions) {
  let proof: string | null = null;
  for (let proofs = 0; proofs <= MAX_PROOFS; proofs++) {
    const { result, challenge } = await request(node, { ...options, proof });
    if (challenge === null) return result;
    proof = await prove(challenge, options);
  }
  throw blocked("requires one proof of work after another");
}

interface MegaResponse {
  readonly result: number | { readonly g?: string | undefined; readonly s: number };
  /** The required proof of work, as received. */
  readonly challenge: string | null;
}

async function request(
  node: string,
  { apiUrl, pages, proof }: Pick<MegaOptions, "apiUrl" | "pages"> & { proof: string | null },
): Promise<MegaResponse> {
  const page = await pages.read(`${apiUrl.replace(/\/+$/, "")}/cs?id=1`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(proof !== null && { "x-hashcash": proof }) },
    body: () => JSON.stringify([{ a: "g", g: 1, ssl: 2, p: node }]),
    acceptBody: (status) => status === 402,
  });
  const challenge = page.headers.get("x-hashcash");
  if (page.status === 402 || challenge !== null) return { result: PROOF_REQUIRED, challenge: challenge ?? "" };
  const parsed = responseSchema.safeParse(parseJson(page.text));
  const [result, detail] = parsed.data ?? [];
  if (result === undefined || typeof result === "string") {
    throw new SourceError("parse", "the API's response is invalid", { cause: parsed.error });
  }
  return { result, challenge: result === PROOF_REQUIRED ? String(detail ?? "") : null };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SourceError("parse", "the API's response is not JSON", { cause });
  }
}

/** The value of X-Hashcash. @throws {SourceError} blocked */
async function prove(text: string, { solve }: MegaOptions): Promise<string> {
  const challenge = parseMegaChallenge(text);
  if (challenge === null) throw blocked("requires a proof of work in an unknown format");
  if (challenge.expectedPasses > MAX_EXPECTED_PASSES) {
    throw blocked(`requires a proof of work of about ${Math.round(challenge.expectedPasses)} passes: too much`);
  }
  if (solve === undefined) throw blocked("requires a proof of work, which only the runner solves");
  return `1:${challenge.token}:${await solve(challenge)}`;
}

function blocked(what: string, cause?: number): SourceError {
  return new SourceError("blocked", `the API ${what}`, { retryAfterSeconds: RETRY_AFTER_SECONDS, cause });
}

/** Failed requests are not included: the page client has already repeated those. */
function isTryAgain(error: unknown): boolean {
  return error instanceof SourceError && (error.cause === EAGAIN || error.cause === ERATELIMIT);
}

function resolvedFrom({ g, s }: { g?: string | undefined; s: number }, link: MegaLink): Resolved {
  if (!g) throw new SourceError("quota", "the API returns no URL for the file");
  const url = parseHttpUrl(g);
  if (url === null) throw new SourceError("parse", "the API returns a URL that is not http or https");
  return { url, kind: "mega", headers: {}, expiresAt: null, subtitles: [], megaKey: link.key, sizeBytes: s };
}

/** Codes of the API's error table. */
function refusal(code: number): SourceError {
  switch (code) {
    case EAGAIN:
    case ERATELIMIT:
      return blocked(`rejected the request for now (${code})`, code);
    case -9: // ENOENT
    case -16: // EBLOCKED
      return new SourceError("gone", `the file is no longer there (${code})`);
    case -17: // EOVERQUOTA
    case -18: // ETEMPUNAVAIL
      return new SourceError("quota", `the file is over its quota or not available now (${code})`, {
        retryAfterSeconds: 3600,
      });
    default:
      return new SourceError("http_4xx", `the API refused the request (${code})`);
  }
}
