/**
 * Calls of database functions and queries of tables. Function names and arguments are checked against the migrations, every failure is an
 * RpcError. Example: `await database.call("enqueue_video", video)`.
 */
import { createClient, type PostgrestSingleResponse } from "@supabase/supabase-js";
import { z } from "zod";
import type { Database } from "../../core/database.types.ts";
import { RpcError } from "../../core/rpc_error.ts";

export const RPC_TIMEOUT_MS = 15_000;

type Functions = Database["public"]["Functions"];
/** The names are checked, the values are not: the functions take null for an argument that is left out. */
export type ArgsOf<Name extends keyof Functions> = { readonly [Key in keyof Functions[Name]["Args"]]: unknown };

export type DatabaseClient = ReturnType<typeof createDatabase>;

export function createDatabase(options: { url: string; key: string }) {
  const client = createClient<Database>(options.url, options.key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  });

  async function call<Name extends keyof Functions & string>(
    name: Name,
    args: ArgsOf<Name>,
    timeoutMs = RPC_TIMEOUT_MS,
  ): Promise<unknown> {
    const response = await client.rpc(name, args as never).abortSignal(AbortSignal.timeout(timeoutMs));
    return dataOf(name, response);
  }

  /** Rows of a table; `query` selects them. */
  async function rows<Row>(
    name: keyof Database["public"]["Tables"] & string,
    row: z.ZodType<Row>,
    query: PromiseLike<PostgrestSingleResponse<unknown>>,
  ): Promise<Row[]> {
    return z.array(row).parse(dataOf(name, await query));
  }

  return { call, rows, from: client.from.bind(client), rpc: client.rpc.bind(client) };
}

export function dataOf<Data>(name: string, response: PostgrestSingleResponse<Data>): Data {
  const { data, error, status } = response;
  if (error !== null) throw new RpcError(name, { status, message: error.message, code: error.code });
  return data;
}
