// What the Worker is configured with, read once per isolate.
// Runs on: workerd. No zod here: it would be five times the rest of the bundle.
import { placeholderProblems } from "../core/placeholder.ts";
import { parseSigningKeys, type SigningKeys } from "../core/link.ts";

/** Bindings as Cloudflare hands them over; wrangler.jsonc lists them. */
export interface Env {
  /** kid:key list shared with the functions (secret). */
  readonly STREAM_SIGNING_KEYS?: string;
  readonly HF_ENDPOINT?: string;
  /** Address of the public API, for asking again when a source's address has died. */
  readonly PUBLIC_API_URL?: string;
  /** `on`: public media files are answered with a redirect to their source. */
  readonly REDIRECT_MODE?: string;
  /** Comma list of ports beside 80, 443, 8080. */
  readonly EXTRA_PORTS?: string;
  /** Comma list of hosts; when set, no other host is fetched. `.cdn.test` means everything below cdn.test. */
  readonly ALLOWED_HOSTS?: string;
  /** Development only, and honoured only for requests to a loopback host. */
  readonly DEV_ALLOWED_ORIGINS?: string;
  readonly HEADER_TIMEOUT_MS?: string;
  readonly RATE_LIMIT?: { limit(options: { key: string }): Promise<{ success: boolean }> };
  /** The other storage targets, as the runner names them; read access is enough here. */
  readonly S3_ENDPOINT?: string;
  readonly S3_BUCKET?: string;
  readonly S3_REGION?: string;
  readonly S3_ACCESS_KEY_ID?: string;
  readonly S3_SECRET_ACCESS_KEY?: string;
  readonly STORAGE_FOLDER_URL?: string;
  readonly STORAGE_FOLDER_TOKEN?: string;
  /** HF_TOKEN_STORAGE_1…N and HF_STORAGE_USERNAME_1…N. */
  readonly [name: string]: unknown;
}

export interface HubAccount {
  readonly username: string;
  readonly token: string;
}

/** A bucket of an S3-compatible store that holds archives; the runner writes it. */
export interface S3Shelf {
  readonly base: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** A folder that the runner serves, to whoever has the token. */
export interface FolderShelf {
  readonly base: string;
  readonly token: string;
}

export interface Config {
  readonly keys: SigningKeys;
  readonly hubEndpoint: string;
  readonly hubOrigin: string;
  /** Origins of the operator's own storage, which may be fetched from wherever they stand. */
  readonly storageOrigins: readonly string[];
  readonly hubAccounts: readonly HubAccount[];
  readonly s3: S3Shelf | null;
  readonly folder: FolderShelf | null;
  readonly publicApiUrl: string | null;
  readonly redirectMode: boolean;
  readonly extraPorts: readonly number[];
  readonly allowedHosts: readonly string[] | undefined;
  readonly devAllowedOrigins: readonly string[];
  /** How long a source may take to its answer's headers; the body may take as long as it likes. */
  readonly headerTimeoutMs: number;
}

const parsed = new WeakMap<Env, Config>();

/** What is wrong with the configuration: names of variables, never a value. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";

  constructor(readonly problems: readonly string[]) {
    super(problems.join("; "));
  }
}

/** @throws {ConfigError} with every problem. */
export function readConfig(env: Env): Config {
  let config = parsed.get(env);
  if (config === undefined) parsed.set(env, config = parseConfig(env));
  return config;
}

function parseConfig(env: Env): Config {
  const problems = [...placeholderProblems(env, Object.keys(env))];
  const keys = parseSigningKeys(env.STREAM_SIGNING_KEYS ?? "");
  if (!keys.ok) problems.push(`STREAM_SIGNING_KEYS: ${keys.error}`);
  const hubEndpoint = (env.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, "");
  if (!isOrigin(hubEndpoint)) problems.push("HF_ENDPOINT is not an address");
  const publicApiUrl = env.PUBLIC_API_URL?.replace(/\/+$/, "") || null;
  for (const name of ["S3_ENDPOINT", "STORAGE_FOLDER_URL"] as const) {
    if (env[name] && !isOrigin(env[name])) problems.push(`${name} is not an address`);
  }
  if (publicApiUrl !== null && !isOrigin(publicApiUrl)) problems.push("PUBLIC_API_URL is not an address");
  const headerTimeoutMs = Number(env.HEADER_TIMEOUT_MS || 20_000);
  if (!(headerTimeoutMs > 0)) problems.push("HEADER_TIMEOUT_MS is not a number of milliseconds");
  if (!keys.ok || problems.length > 0) throw new ConfigError(problems);
  const allowedHosts = list(env.ALLOWED_HOSTS);
  const [s3, folder] = [s3Shelf(env), folderShelf(env)];
  return {
    keys: keys.value,
    hubEndpoint,
    hubOrigin: new URL(hubEndpoint).origin,
    hubAccounts: hubAccounts(env),
    s3,
    folder,
    storageOrigins: [hubEndpoint, s3?.base, folder?.base].flatMap((base) =>
      base === undefined ? [] : [new URL(base).origin]
    ),
    publicApiUrl,
    redirectMode: env.REDIRECT_MODE === "on",
    extraPorts: list(env.EXTRA_PORTS).map(Number).filter((port) => port > 0),
    allowedHosts: allowedHosts.length === 0 ? undefined : allowedHosts,
    devAllowedOrigins: list(env.DEV_ALLOWED_ORIGINS),
    headerTimeoutMs,
  };
}

function hubAccounts(env: Env): HubAccount[] {
  const accounts: HubAccount[] = [];
  for (let i = 1;; i++) {
    const username = env[`HF_STORAGE_USERNAME_${i}`];
    const token = env[`HF_TOKEN_STORAGE_${i}`];
    if (typeof username !== "string" || typeof token !== "string" || username === "" || token === "") return accounts;
    accounts.push({ username, token });
  }
}

function s3Shelf(env: Env): S3Shelf | null {
  const { S3_ENDPOINT, S3_BUCKET, S3_REGION, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY } = env;
  if (!S3_ENDPOINT || !S3_BUCKET || !S3_ACCESS_KEY_ID || !S3_SECRET_ACCESS_KEY) return null;
  return {
    base: `${S3_ENDPOINT.replace(/\/+$/, "")}/${S3_BUCKET}`,
    region: S3_REGION || "auto",
    accessKeyId: S3_ACCESS_KEY_ID,
    secretAccessKey: S3_SECRET_ACCESS_KEY,
  };
}

function folderShelf(env: Env): FolderShelf | null {
  const { STORAGE_FOLDER_URL, STORAGE_FOLDER_TOKEN } = env;
  if (!STORAGE_FOLDER_URL || !STORAGE_FOLDER_TOKEN) return null;
  return { base: STORAGE_FOLDER_URL.replace(/\/+$/, ""), token: STORAGE_FOLDER_TOKEN };
}

function list(text: string | undefined): string[] {
  return (text ?? "").split(",").map((part) => part.trim()).filter((part) => part !== "");
}

function isOrigin(text: string): boolean {
  try {
    return /^https?:$/.test(new URL(text).protocol);
  } catch {
    return false;
  }
}
