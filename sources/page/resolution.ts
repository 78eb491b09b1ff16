// Resolutions and server names from the labels of sites.
// Example: resolutionOf("Mirror 720p [2]") → "720p"; serverLabel("https://vidhidepro.test/e/1", "720p") → "Vidhidepro 720p".
// Runs on: Deno, edge runtime.

/** `720p`; null if the label states no resolution. */
export function resolutionOf(label: string): string | null {
  const lines = /(?<!\d)(\d{3,4})p(?![a-z])/i.exec(label)?.[1];
  return lines === undefined ? null : `${Number(lines)}p`;
}

/** The site's label; if it states a resolution only, the host's name and the resolution. */
export function serverLabel(url: string, label: string): string {
  const clean = label.replace(/\s+/g, " ").replace(/\s*\[\d+\]\s*$/, "").trim().slice(0, 80).replace(
    /[\ud800-\udbff]$/,
    "",
  );
  const says = clean.replace(/(?<!\d)\d{3,4}p(?![a-z])/gi, "").replace(/[^\p{L}\p{N}]/gu, "");
  if (says !== "") return clean;
  const resolution = resolutionOf(clean);
  return [hostName(url), resolution].filter((part) => part !== null).join(" ");
}

function hostName(url: string): string {
  const host = URL.canParse(url) ? new URL(url).hostname : "server";
  if (/^[\d.]+$|^\[/.test(host)) return host;
  const parts = host.replace(/^www\./, "").split(".");
  const name = parts[Math.max(0, parts.length - 2)]!;
  return name.charAt(0).toUpperCase() + name.slice(1);
}
