// Flags that several commands share, with their lines of help.

/** Which system the command works on: system.ts. */
export const SYSTEM_FLAGS = { "env-file": { type: "string" } } as const;
export const SYSTEM_HELP = "  --env-file FILE    SUPABASE_URL and SUPABASE_SECRET_KEYS of the system";

export const CHANGE_FLAGS = { yes: { type: "boolean" } } as const;
export const CHANGE_HELP = "  --yes              do not ask before changing a system that is not on this machine";
