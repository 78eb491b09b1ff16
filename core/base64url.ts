// base64 and base64url, for runtimes without Uint8Array#toBase64 (edge runtime, Node 20).
// Example: encodeBase64Url(new Uint8Array([255, 254])) → "__4"

/** `Uint8Array<ArrayBuffer>`, in a form that TypeScript 5.6 (edge runtime) accepts, where Uint8Array is not generic. */
export type Bytes = ReturnType<typeof Uint8Array.of>;

export function encodeBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

export function encodeBase64Url(bytes: Uint8Array): string {
  return encodeBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Decodes base64 or base64url, with or without padding; null for other text. */
export function decodeBase64(text: string): Bytes | null {
  const plain = text.replaceAll("-", "+").replaceAll("_", "/").replace(/=+$/, "");
  if (!/^[A-Za-z0-9+/]*$/.test(plain) || plain.length % 4 === 1) return null;
  const binary = atob(plain);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
