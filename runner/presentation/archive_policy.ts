/** How archives are written, by the operator's choice. */
export interface ArchivePolicy {
  /** `plain`: never with HLS segments inside. */
  readonly form: "auto" | "plain";
  readonly segmentSeconds: number;
}
