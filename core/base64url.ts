// base64 and base64url of bytes where Uint8Array#toBase64 is not there yet (edge runtime, Node 20).
// Example: encodeBase64Url(new Uint8Array([255, 254])) → "__4"
// Runs on: Deno, edge runtime, workerd, browser.

/** `Uint8Array<ArrayBuffer>`, spelled so that TypeScript 5.6 (the edge runtime's base), where it is not generic, reads it too. */
export type Bytes = ReturnType<typeof Uint8Array.of>;

export function encodeBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

export function encodeBase64Url(bytes: Uint8Array): string {
  return encodeBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Bytes of base64 or base64url text, with or without padding; null when it is neither. */
export function decodeBase64(text: string): Bytes | null {
  const plain = text.replaceAll("-", "+").replaceAll("_", "/").replace(/=+$/, "");
  if (!/^[A-Za-z0-9+/]*$/.test(plain) || plain.length % 4 === 1) return null;
  const binary = atob(plain);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
