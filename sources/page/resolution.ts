// Resolution and server names out of the words sites use for them.
// Example: resolutionOf("Mirror 720p [2]") → "720p"; serverLabel("https://vidhidepro.test/e/1", "720p") → "Vidhidepro 720p".
// Runs on: Deno, edge runtime.

/** `720p` when the label names one, else null. */
export function resolutionOf(label: string): string | null {
  const lines = /(?<!\d)(\d{3,4})p(?![a-z])/i.exec(label)?.[1];
  return lines === undefined ? null : `${Number(lines)}p`;
}

/** The site's own label, or the host's name with the resolution where the label says nothing but that. */
export function serverLabel(address: string, label: string): string {
  const clean = label.replace(/\s+/g, " ").replace(/\s*\[\d+\]\s*$/, "").trim().slice(0, 80).replace(
    /[\ud800-\udbff]$/,
    "",
  );
  const says = clean.replace(/(?<!\d)\d{3,4}p(?![a-z])/gi, "").replace(/[^\p{L}\p{N}]/gu, "");
  if (says !== "") return clean;
  const resolution = resolutionOf(clean);
  return [hostName(address), resolution].filter((part) => part !== null).join(" ");
}

function hostName(address: string): string {
  const host = URL.canParse(address) ? new URL(address).hostname : "server";
  if (/^[\d.]+$|^\[/.test(host)) return host;
  const parts = host.replace(/^www\./, "").split(".");
  const name = parts[Math.max(0, parts.length - 2)]!;
  return name.charAt(0).toUpperCase() + name.slice(1);
}
