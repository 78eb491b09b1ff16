// Fills in the identifiers of a SegmentTemplate's URL (ISO/IEC 23009-1, 5.3.9.4.4).
// Example: fillTemplate("$RepresentationID$/$Number%05d$.m4s", { id: "v1", number: 7n, … }) → "v1/00007.m4s"

export const IDENTIFIER = /\$(?:(RepresentationID|Number|Bandwidth|Time)(?:%0?(\d{1,2})d)?)?\$/g;

export interface TemplateValues {
  readonly id: string;
  readonly bandwidth: number;
  readonly number?: bigint;
  readonly time?: bigint;
}

/** An identifier without a value is kept. */
export function fillTemplate(template: string, { id, bandwidth, number, time }: TemplateValues): string {
  if (!template.includes("$")) return template;
  return template.replace(IDENTIFIER, (whole, name: string | undefined, width: string | undefined) => {
    if (name === undefined) return "$";
    if (name === "RepresentationID") return id;
    const value = name === "Number" ? number : name === "Time" ? time : BigInt(bandwidth);
    return value === undefined ? whole : String(value).padStart(Number(width ?? 1), "0");
  });
}
