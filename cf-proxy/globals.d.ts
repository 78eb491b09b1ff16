// Deno's type checker prefers Node's types for these globals over those of @cloudflare/workers-types.
declare const console: { error(text: string): void };
declare const crypto: Crypto;
