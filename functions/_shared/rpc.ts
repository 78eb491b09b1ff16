// Calls of database functions, typed by the generated Database type. Runs on: Deno, edge runtime.
// Example: schema.parse(await callRpc(supabase, "read_episode", { mal_id: 55825, episode: 1 }, 10_000)).
import type { SupabaseClient } from "@supabase/supabase-js";
import type { Database, Json } from "../../core/database.types.ts";
import { dataOf } from "../../core/rpc_error.ts";
import { wellFormed } from "../../core/well_formed.ts";

type Functions = Database["public"]["Functions"];

export type RpcName = keyof Functions;

/** The arguments of a function; JSON may be any value, arrays may be read-only. */
export type RpcArgs<N extends RpcName> = {
  readonly [K in keyof Functions[N]["Args"]]: Json extends Functions[N]["Args"][K] ? unknown
    : Functions[N]["Args"][K] extends (infer Item)[] ? readonly Item[]
    : Functions[N]["Args"][K];
};

/** The result, which the caller parses. @throws {RpcError} */
export async function callRpc<N extends RpcName>(
  supabase: SupabaseClient<Database>,
  name: N,
  args: RpcArgs<N>,
  timeoutMs: number,
): Promise<unknown> {
  const plain = wellFormed(args) as Functions[N]["Args"];
  return dataOf(name, await supabase.rpc(name, plain).abortSignal(AbortSignal.timeout(timeoutMs)));
}
