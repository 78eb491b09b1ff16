// Resolver `mega`: a link that carries its own key, `/embed/{node}#{key}` or `/file/{node}#{key}`. The API names an address
// whose bytes are encrypted with that key (AES-128-CTR): the Worker and the runner decrypt.
// Example: POST {api}/cs [{"a":"g","g":1,"p":"node"}] → [{"g":"https://…","s":1234,"at":"…"}] or [-9]. Runs on: Deno, edge.
import { z } from "zod";
import { decodeBase64 } from "../../core/base64url.ts";
import { parseHttpUrl } from "../../core/http_url.ts";
import type { PageClient } from "../fetch/page_client.ts";
import { SourceError } from "../source_error.ts";
import { MAX_EXPECTED_PASSES, type MegaChallenge, parseMegaChallenge } from "./mega_challenge.ts";
import type { Resolved } from "./resolver.ts";

const KEY_BYTES = 32;
const TRIES = 4;
const FIRST_PAUSE_MS = 200;
const MAX_PROOFS = 2;
const RETRY_AFTER_SECONDS = 60;
/** Of the API's error table: a proof of work is wanted. */
const PROOF_WANTED = -27;

const responseSchema = z.union([
  z.number().int().transform((code) => [code]),
  z.array(z.union([
    z.number().int(),
    z.string(), // the challenge behind -27
    z.object({ g: z.string().optional(), s: z.number().int().min(0) }),
  ])).min(1),
]);

export interface MegaLink {
  readonly node: string;
  /** base64url of 32 bytes, as in the link. */
  readonly key: string;
}

/** The parts of a link, also of its older form `/#!node!key`; null for any other address. */
export function parseMegaLink(address: string): MegaLink | null {
  if (!URL.canParse(address)) return null;
  const { pathname, hash } = new URL(address);
  const fragment = hash.slice(1);
  const node = /^\/(?:embed|file)\/([A-Za-z0-9_-]{8})$/.exec(pathname)?.[1];
  if (node !== undefined && /^[A-Za-z0-9_-]+$/.test(fragment)) return { node, key: fragment };
  const [, oldNode, oldKey] = /^!([A-Za-z0-9_-]{8})!([A-Za-z0-9_-]+)$/.exec(fragment) ?? [];
  return oldNode !== undefined && oldKey !== undefined ? { node: oldNode, key: oldKey } : null;
}

export interface MegaOptions {
  /** Address of the API, without `/cs`. */
  readonly apiUrl: string;
  readonly pages: PageClient;
  readonly pause: (ms: number) => Promise<void>;
  /** Answers a proof of work; absent where there is not the time for one. */
  readonly solve?: (challenge: MegaChallenge) => Promise<string>;
}

/** @throws {SourceError} gone, quota, parse, … */
export async function resolveMega(link: MegaLink, options: MegaOptions): Promise<Resolved> {
  if (decodeBase64(link.key)?.length !== KEY_BYTES) {
    throw new SourceError("invalid_input", "the link's key is not 32 bytes: a part of it is missing");
  }
  for (let attempt = 1;; attempt++) {
    const answer = await askWithProof(link.node, options);
    if (typeof answer === "object") return resolvedFrom(answer, link);
    if ((answer === -3 || answer === -4) && attempt < TRIES) await options.pause(FIRST_PAUSE_MS * 2 ** (attempt - 1));
    else throw refusal(answer);
  }
}

/** The answer, after a proof of work where one is wanted. */
async function askWithProof(node: string, options: MegaOptions) {
  let proof: string | null = null;
  for (let proofs = 0; proofs <= MAX_PROOFS; proofs++) {
    const { answer, challenge } = await ask(node, { ...options, proof });
    if (challenge === null) return answer;
    proof = await prove(challenge, options);
  }
  throw blocked("wants one proof of work after the other");
}

interface Asked {
  readonly answer: number | { readonly g?: string | undefined; readonly s: number };
  /** What has to be computed first, as it was sent. */
  readonly challenge: string | null;
}

async function ask(
  node: string,
  { apiUrl, pages, proof }: Pick<MegaOptions, "apiUrl" | "pages"> & { proof: string | null },
): Promise<Asked> {
  const page = await pages.read(`${apiUrl.replace(/\/+$/, "")}/cs?id=1`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(proof !== null && { "x-hashcash": proof }) },
    body: () => JSON.stringify([{ a: "g", g: 1, ssl: 2, p: node }]),
    acceptBody: (status) => status === 402,
  });
  const challenge = page.headers.get("x-hashcash");
  if (page.status === 402 || challenge !== null) return { answer: PROOF_WANTED, challenge: challenge ?? "" };
  const parsed = responseSchema.safeParse(parseJson(page.text));
  const [answer, detail] = parsed.data ?? [];
  if (answer === undefined || typeof answer === "string") {
    throw new SourceError("parse", "the API's answer is not understood", { cause: parsed.error });
  }
  return { answer, challenge: answer === PROOF_WANTED ? String(detail ?? "") : null };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SourceError("parse", "the API's answer is not JSON", { cause });
  }
}

/** The value of X-Hashcash. @throws {SourceError} blocked */
async function prove(text: string, { solve }: MegaOptions): Promise<string> {
  const challenge = parseMegaChallenge(text);
  if (challenge === null) throw blocked("wants a proof of work that is not understood");
  if (challenge.expectedPasses > MAX_EXPECTED_PASSES) {
    throw blocked(`wants a proof of work of some ${Math.round(challenge.expectedPasses)} passes: too much`);
  }
  if (solve === undefined) throw blocked("wants a proof of work: only the runner has the time for one");
  return `1:${challenge.token}:${await solve(challenge)}`;
}

function blocked(what: string): SourceError {
  return new SourceError("blocked", `the API ${what}`, { retryAfterSeconds: RETRY_AFTER_SECONDS });
}

function resolvedFrom({ g, s }: { g?: string | undefined; s: number }, link: MegaLink): Resolved {
  if (!g) throw new SourceError("quota", "the API names no address for the file");
  const url = parseHttpUrl(g);
  if (url === null) throw new SourceError("parse", "the API names a URL that is not http or https");
  return { url, kind: "mega", headers: {}, expiresAt: null, subtitles: [], megaKey: link.key, sizeBytes: s };
}

/** Codes of the API's error table. */
function refusal(code: number): SourceError {
  switch (code) {
    case -3: // EAGAIN
    case -4: // ERATELIMIT
      return blocked(`asks to come back later (${code})`);
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
