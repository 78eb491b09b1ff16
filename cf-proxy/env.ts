// The Worker's configuration, parsed once per isolate. By hand, because zod would be larger than the rest of the bundle.
import { placeholderProblems } from "../core/placeholder.ts";
import { parseSigningKeys, type SigningKeys } from "../core/link.ts";

/** Bindings, as listed in wrangler.jsonc. */
export interface Env {
  /** kid:key list shared with the functions (secret). */
  readonly STREAM_SIGNING_KEYS?: string;
  readonly HF_ENDPOINT?: string;
  /** Base URL of the public API, used for failover and takedowns. */
  readonly PUBLIC_API_URL?: string;
  /** `on`: requests for public media files are redirected to their source. */
  readonly REDIRECT_MODE?: string;
  /** Comma-separated ports in addition to 80, 443 and 8080. */
  readonly EXTRA_PORTS?: string;
  /** Comma-separated hosts; if set, no other host is fetched. `.cdn.test` matches every host below cdn.test. */
  readonly ALLOWED_HOSTS?: string;
  /** Development only, and only applied to requests for a loopback host. */
  readonly DEV_ALLOWED_ORIGINS?: string;
  readonly HEADER_TIMEOUT_MS?: string;
  readonly RATE_LIMIT?: { limit(options: { key: string }): Promise<{ success: boolean }> };
  /** The other storage targets, with the runner's variable names; read access is enough here. */
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

export interface S3Target {
  /** Endpoint and bucket, without a trailing slash. */
  readonly baseUrl: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** The folder that the runner serves with a bearer token. */
export interface FolderTarget {
  readonly baseUrl: string;
  readonly token: string;
}

export interface Config {
  readonly keys: SigningKeys;
  readonly hubEndpoint: string;
  readonly hubOrigin: string;
  /** Origins of the operator's storage targets; they may be private hosts. */
  readonly storageOrigins: readonly string[];
  readonly hubAccounts: readonly HubAccount[];
  readonly s3: S3Target | null;
  readonly folder: FolderTarget | null;
  readonly publicApiUrl: string | null;
  readonly redirectMode: boolean;
  readonly extraPorts: readonly number[];
  readonly allowedHosts: readonly string[] | undefined;
  readonly devAllowedOrigins: readonly string[];
  /** Applies until the response headers arrive; a body has no timeout. */
  readonly headerTimeoutMs: number;
}

const parsed = new WeakMap<Env, Config>();

/** Its issues name variables, never their values. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";

  constructor(readonly issues: readonly string[]) {
    super(issues.join("; "));
  }
}

/** @throws {ConfigError} with every issue. */
export function readConfig(env: Env): Config {
  let config = parsed.get(env);
  if (config === undefined) parsed.set(env, config = parseConfig(env));
  return config;
}

function parseConfig(env: Env): Config {
  const issues = [...placeholderProblems(env, Object.keys(env))];
  const keys = parseSigningKeys(env.STREAM_SIGNING_KEYS ?? "");
  if (!keys.ok) issues.push(`STREAM_SIGNING_KEYS: ${keys.error}`);
  const hubEndpoint = trimSlashes(env.HF_ENDPOINT || "https://huggingface.co");
  if (!isHttpUrl(hubEndpoint)) issues.push("HF_ENDPOINT is not an http(s) URL");
  for (const name of ["S3_ENDPOINT", "STORAGE_FOLDER_URL", "PUBLIC_API_URL"] as const) {
    if (env[name] && !isHttpUrl(env[name])) issues.push(`${name} is not an http(s) URL`);
  }
  const headerTimeoutMs = Number(env.HEADER_TIMEOUT_MS || 20_000);
  if (!(headerTimeoutMs > 0)) issues.push("HEADER_TIMEOUT_MS is not a positive number of milliseconds");
  if (!keys.ok || issues.length > 0) throw new ConfigError(issues);
  const allowedHosts = list(env.ALLOWED_HOSTS);
  const [s3, folder] = [s3Target(env), folderTarget(env)];
  return {
    keys: keys.value,
    hubEndpoint,
    hubOrigin: new URL(hubEndpoint).origin,
    hubAccounts: hubAccounts(env),
    s3,
    folder,
    storageOrigins: [hubEndpoint, s3?.baseUrl, folder?.baseUrl].flatMap((url) =>
      url === undefined ? [] : [new URL(url).origin]
    ),
    publicApiUrl: env.PUBLIC_API_URL ? trimSlashes(env.PUBLIC_API_URL) : null,
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

function s3Target(env: Env): S3Target | null {
  const { S3_ENDPOINT, S3_BUCKET, S3_REGION, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY } = env;
  if (!S3_ENDPOINT || !S3_BUCKET || !S3_ACCESS_KEY_ID || !S3_SECRET_ACCESS_KEY) return null;
  return {
    baseUrl: `${trimSlashes(S3_ENDPOINT)}/${S3_BUCKET}`,
    region: S3_REGION || "auto",
    accessKeyId: S3_ACCESS_KEY_ID,
    secretAccessKey: S3_SECRET_ACCESS_KEY,
  };
}

function folderTarget(env: Env): FolderTarget | null {
  const { STORAGE_FOLDER_URL, STORAGE_FOLDER_TOKEN } = env;
  if (!STORAGE_FOLDER_URL || !STORAGE_FOLDER_TOKEN) return null;
  return { baseUrl: trimSlashes(STORAGE_FOLDER_URL), token: STORAGE_FOLDER_TOKEN };
}

function list(text: string | undefined): string[] {
  return (text ?? "").split(",").map((part) => part.trim()).filter((part) => part !== "");
}

function trimSlashes(url: string): string {
  return url.replace(/\/+$/, "");
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}
