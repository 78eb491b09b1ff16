// Deno's type checker hides these two of @cloudflare/workers-types behind Node's; the types themselves are Cloudflare's.
declare const console: { error(text: string): void };
declare const crypto: Crypto;
