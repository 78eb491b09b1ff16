/** See core/media_report.ts. */
export type * from "../../core/media_report.ts";
