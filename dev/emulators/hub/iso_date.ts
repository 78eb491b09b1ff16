export function isoDate(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toISOString();
}
