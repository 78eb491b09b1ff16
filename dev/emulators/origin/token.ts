/**
 * Expiring tokens as video hosts issue them: `<unix second>-<mac>` over the directory or file.
 * Example: `/p/1795000000-3f…/hls/master.m3u8` gives access to `hls/` until then.
 */

export type TokenMaker = {
  readonly issue: (scope: string, expiresAt: number) => Promise<string>;
  readonly check: (scope: string, token: string, now: number) => Promise<"ok" | "expired" | "wrong">;
};

export async function createTokens(secret: Uint8Array<ArrayBuffer>): Promise<TokenMaker> {
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  async function issue(scope: string, expiresAt: number): Promise<string> {
    const mac = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(`${scope}\n${expiresAt}`));
    return `${expiresAt}-${new Uint8Array(mac).slice(0, 12).toHex()}`;
  }
  async function check(scope: string, token: string, now: number): Promise<"ok" | "expired" | "wrong"> {
    const expiresAt = Number(token.split("-")[0]);
    if (!Number.isSafeInteger(expiresAt) || await issue(scope, expiresAt) !== token) return "wrong";
    return expiresAt > now ? "ok" : "expired";
  }
  return { issue, check };
}
