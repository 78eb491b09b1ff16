// Synthetic site: a MEGA-like API and its encrypted files. Key bytes 00…1f, so the AES key is sixteen times 0x10.
import type { Site } from "./sites.ts";

export const MEGA_NODE = "AbCdEf12";
export const MEGA_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
export const MEGA_LINK = `https://drive.test/embed/${MEGA_NODE}#${MEGA_KEY}`;

export interface MegaSite {
  readonly site: Site;
  readonly asked: () => number;
}

/** Responses in turn: a negative number, or an object as the API returns it. */
export function megaApi(...responses: readonly unknown[]): MegaSite {
  let asked = 0;
  return {
    asked: () => asked,
    async site(request, url) {
      const [command] = await request.json();
      const right = request.method === "POST" && url.pathname === "/cs" && command.a === "g" && command.g === 1;
      if (!right || command.p !== MEGA_NODE) return Response.json([-2]);
      return Response.json(responses[Math.min(asked++, responses.length - 1)]);
    },
  };
}

export interface GuardedMegaSite {
  readonly site: Site;
  /** The proof of each request: correct, wrong or none. */
  readonly proofs: readonly ("right" | "wrong" | "none")[];
}

export interface GuardOptions {
  /** The API asks for 192; 255 is solved in two passes. */
  readonly easiness: number;
  /** Where the challenge is: X-Hashcash of a 402, or JSON after -27. */
  readonly form: "header" | "json";
  /** Of 64 characters. */
  readonly token?: string;
}

const TOKEN = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj9AQUJDREVGR0hJSktMTU5P";

/** The API behind a proof of work, which it checks like the real one: over all 12.6 MB. */
export function guardedMegaApi(api: Site, { easiness, form, token = TOKEN }: GuardOptions): GuardedMegaSite {
  const proofs: ("right" | "wrong" | "none")[] = [];
  const challenge = `1:${easiness}:1765000000:${token}`;
  return {
    proofs,
    async site(request, url) {
      const proof = request.headers.get("x-hashcash");
      const right = proof !== null && await isProof(proof, { easiness, token });
      proofs.push(proof === null ? "none" : right ? "right" : "wrong");
      if (right) return await api(request, url);
      await request.body?.cancel();
      return form === "json"
        ? Response.json([-27, challenge])
        : new Response("-27", { status: 402, headers: { "x-hashcash": challenge } });
    },
  };
}

async function isProof(proof: string, { easiness, token }: { easiness: number; token: string }): Promise<boolean> {
  const [version, sameToken, prefix = ""] = proof.split(":");
  if (version !== "1" || sameToken !== token) return false;
  const bytes = new Uint8Array(4 + 262_144 * 48);
  bytes.set(Uint8Array.fromBase64(prefix, { alphabet: "base64url" }));
  const tokenBytes = Uint8Array.fromBase64(token, { alphabet: "base64url" });
  for (let at = 4; at < bytes.length; at += 48) bytes.set(tokenBytes, at);
  const digest = new DataView(await crypto.subtle.digest("SHA-256", bytes));
  return digest.getUint32(0) <= (((easiness & 63) << 1) + 1) * 2 ** ((easiness >> 6) * 7 + 3);
}
