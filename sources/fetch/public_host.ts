// Refuses public names that resolve to private addresses, before every request. fetch resolves the name again, so this does not
// prevent DNS rebinding; the runner connects to the checked address instead.
// Example: await checkPublicHost(url, { resolve, policy, signal }). Runs on: Deno, edge runtime.
import { isPrivateAddress, type UrlPolicy } from "../../core/url_policy.ts";
import { SourceError } from "../source_error.ts";

export type ResolveName = (host: string, type: "A" | "AAAA", signal: AbortSignal) => Promise<readonly string[]>;

export interface PublicHostOptions {
  readonly resolve: ResolveName;
  readonly policy: UrlPolicy;
  /** Aborts a lookup that hangs. */
  readonly signal: AbortSignal;
}

/** @throws {SourceError} policy_denied */
export async function checkPublicHost(url: URL, { resolve, policy, signal }: PublicHostOptions): Promise<void> {
  if (policy.allowedOrigins?.includes(url.origin)) return;
  const host = url.hostname;
  if (host.startsWith("[") || /^[\d.]+$/.test(host)) return; // a literal: checked by the URL policy
  // If the name does not resolve, the request itself fails with a better reason.
  const addresses = (type: "A" | "AAAA") => resolve(host, type, signal).catch(() => []);
  const [v4, v6] = await Promise.all([addresses("A"), addresses("AAAA")]);
  if ([...v4, ...v6].some(isPrivateAddress)) {
    throw new SourceError("policy_denied", `${host} resolves to a private address`);
  }
}
