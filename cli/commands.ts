// The operator's commands. A new one is a file and an entry here. Each is loaded only when it is used.

export type RunCommand = (args: readonly string[], env: Readonly<Record<string, string>>) => Promise<number>;

export interface Command {
  /** One line for `deno task ks --help`. */
  readonly summary: string;
  readonly load: () => Promise<RunCommand>;
}

export const COMMANDS: Readonly<Record<string, Command>> = {
  videos: {
    summary: "list, count, retry and cancel videos of the queue",
    load: async () => (await import("./videos.ts")).videosCommand,
  },
  providers: {
    summary: "show the provider list, or replace it from a file",
    load: async () => (await import("./providers.ts")).providersCommand,
  },
  catalogue: {
    summary: "import your own episodes from JSON or CSV",
    load: async () => (await import("./catalogue.ts")).catalogueCommand,
  },
  check: {
    summary: "try one provider on a real page; writes nothing",
    load: async () => (await import("./provider_check.ts")).checkCommand,
  },
  storage: {
    summary: "check, repair and verify storage targets; takedowns",
    load: async () => (await import("./storage.ts")).storageCommand,
  },
  sign: {
    summary: "sign a proxy link",
    load: async () => (await import("./sign_link.ts")).signCommand,
  },
  env: {
    summary: "write one environment file for each deployed part from .env",
    load: async () => (await import("./write_env.ts")).envCommand,
  },
};
