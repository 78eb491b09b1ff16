// URLs that work for a limited time without a token, as the Hub's CDN and upload parts use them:
// `http://cdn/objects/<oid>?Expires=1767225600&Signature=…`. The signature covers the path and all other query entries.

import { createHmac, timingSafeEqual } from "node:crypto";

export interface UrlSigner {
  sign(url: URL, expiresAt: number): string;
  check(url: URL, now: number): "valid" | "expired" | "forged";
}

/** Signs with a new key for every hub, so a restart invalidates all URLs. */
export function urlSigner(key: Uint8Array): UrlSigner {
  return {
    sign(url, expiresAt) {
      const signed = new URL(url);
      signed.searchParams.set("Expires", String(expiresAt));
      signed.searchParams.set("Signature", macOf(signed, key));
      return signed.href;
    },
    check(url, now) {
      const given = new TextEncoder().encode(url.searchParams.get("Signature") ?? "");
      const wanted = new TextEncoder().encode(macOf(url, key));
      if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) return "forged";
      return Number(url.searchParams.get("Expires")) > now ? "valid" : "expired";
    },
  };
}

function macOf(url: URL, key: Uint8Array): string {
  const entries = [...url.searchParams].filter(([name]) => name !== "Signature").map((entry) => entry.join("="));
  return createHmac("sha256", key).update([url.pathname, ...entries.sort()].join("\n")).digest("base64url");
}
