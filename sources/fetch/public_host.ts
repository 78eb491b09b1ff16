// A public name that resolves to a private address is refused just before the request, at every hop and every try.
// What a name means in the instant of connecting cannot be pinned with fetch; where it can (the runner), it is.
// Example: await checkPublicHost(url, { resolve, policy, signal }). Runs on: Deno, edge runtime.
import { isPrivateAddress, type UrlPolicy } from "../../core/url_policy.ts";
import { SourceError } from "../source_error.ts";

export type ResolveName = (host: string, type: "A" | "AAAA", signal: AbortSignal) => Promise<readonly string[]>;

export interface PublicHostOptions {
  readonly resolve: ResolveName;
  readonly policy: UrlPolicy;
  /** Ends a look-up that hangs. */
  readonly signal: AbortSignal;
}

/** @throws {SourceError} policy_denied */
export async function checkPublicHost(url: URL, { resolve, policy, signal }: PublicHostOptions): Promise<void> {
  if (policy.allowedOrigins?.includes(url.origin)) return;
  const host = url.hostname;
  if (host.startsWith("[") || /^[\d.]+$/.test(host)) return; // a literal: the target policy has looked at it
  // A name that does not resolve is left to the request, which fails with the better reason.
  const addresses = (type: "A" | "AAAA") => resolve(host, type, signal).catch(() => []);
  const [v4, v6] = await Promise.all([addresses("A"), addresses("AAAA")]);
  if ([...v4, ...v6].some(isPrivateAddress)) {
    throw new SourceError("policy_denied", `${host} resolves to a private address`);
  }
}
