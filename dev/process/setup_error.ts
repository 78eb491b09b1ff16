/**
 * The system cannot start on this machine. The message is one line that says what to do, and the only output at the
 * terminal.
 */
export class SetupError extends Error {
  override readonly name = "SetupError";

  constructor(readonly code: SetupErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

export type SetupErrorCode =
  | "already_running"
  | "data_folder_broken"
  | "data_folder_foreign"
  | "disk_full"
  | "missing_program"
  | "migration_changed"
  | "migration_failed"
  | "part_failed"
  | "port_taken"
  | "unsupported_platform";
