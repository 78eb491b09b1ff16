/**
 * Authentication: the API keys of a Supabase project and its JWTs → the database role and claims of the request.
 * `apikey: sb_secret_…` → service_role; `Authorization: Bearer <jwt>` → the JWT's own role.
 */
import { RestError } from "./errors.ts";

export interface ProjectKeys {
  /** `sb_publishable_…`: anon. */
  readonly publishable: string;
  /** `sb_secret_…`: service_role. */
  readonly secret: string;
  /** Signs the legacy keys and user tokens (HS256). */
  readonly jwtSecret: string;
}

export interface Claims {
  readonly role: string;
  readonly [claim: string]: unknown;
}

export function makeProjectKeys(): ProjectKeys {
  const random = (bytes: number) =>
    crypto.getRandomValues(new Uint8Array(bytes)).toBase64({ alphabet: "base64url", omitPadding: true });
  return {
    publishable: `sb_publishable_${random(24)}`,
    secret: `sb_secret_${random(24)}`,
    jwtSecret: random(48),
  };
}

/** @throws {RestError} 401, in the wording of the project's gateway. */
export async function authenticate(request: Request, keys: ProjectKeys): Promise<Claims> {
  const apikey = request.headers.get("apikey") ?? new URL(request.url).searchParams.get("apikey");
  const bearer = /^Bearer\s+(.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  if (!apikey) {
    throw new RestError(401, {
      message: "No API key found in request",
      hint: "No `apikey` request header or url param was found.",
    });
  }
  const ofKey = roleOfKey(apikey, keys) ?? await claimsOf(apikey, keys).catch(() => null);
  if (ofKey === null) {
    throw new RestError(401, {
      message: "Invalid API key",
      hint: "Double check your Supabase `anon` or `service_role` API key.",
    });
  }
  if (!bearer) return ofKey;
  return roleOfKey(bearer, keys) ?? await claimsOf(bearer, keys);
}

function roleOfKey(key: string, keys: ProjectKeys): Claims | null {
  if (key === keys.secret) return { role: "service_role" };
  if (key === keys.publishable) return { role: "anon" };
  return null;
}

async function claimsOf(token: string, keys: ProjectKeys): Promise<Claims> {
  const [header, payload, signature, ...rest] = token.split(".");
  if (!header || !payload || signature === undefined || rest.length > 0) {
    const parts = token.split(".").length;
    throw jwtError("PGRST301", `Expected 3 parts in JWT; got ${parts}`);
  }
  const key = await crypto.subtle.importKey(
    "raw",
    new TextEncoder().encode(keys.jwtSecret),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["verify"],
  );
  const claims = decodePart(payload);
  const valid = decodePart(header).alg === "HS256" &&
    await crypto.subtle.verify("HMAC", key, fromBase64Url(signature), new TextEncoder().encode(`${header}.${payload}`));
  if (!valid) throw jwtError("PGRST301", "No suitable key or wrong key type");
  if (typeof claims.exp === "number" && claims.exp < Date.now() / 1000 - 30) throw jwtError("PGRST303", "JWT expired");
  return { ...claims, role: typeof claims.role === "string" ? claims.role : "anon" };
}

/** A legacy key (`anon`, `service_role`) or a user's token. */
export async function signJwt(claims: Readonly<Record<string, unknown>>, keys: ProjectKeys): Promise<string> {
  const encode = (bytes: Uint8Array) => bytes.toBase64({ alphabet: "base64url", omitPadding: true });
  const part = (value: unknown) => encode(new TextEncoder().encode(JSON.stringify(value)));
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  const key = await crypto.subtle.importKey(
    "raw",
    new TextEncoder().encode(keys.jwtSecret),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign"],
  );
  const signature = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(text));
  return `${text}.${encode(new Uint8Array(signature))}`;
}

function decodePart(part: string): Record<string, unknown> {
  try {
    return JSON.parse(new TextDecoder().decode(fromBase64Url(part)));
  } catch {
    throw jwtError("PGRST301", "JWT cryptographic operation failed");
  }
}

function fromBase64Url(text: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.fromBase64(text, { alphabet: "base64url" });
  } catch {
    throw jwtError("PGRST301", "JWT cryptographic operation failed");
  }
}

function jwtError(code: string, message: string): RestError {
  const headers = { "www-authenticate": `Bearer error="invalid_token", error_description="${message}"` };
  return new RestError(401, { code, message, details: null, hint: null }, headers);
}
