/**
 * Transactions over connections that may break at any moment. postgres.js 3.4 does not handle that: `sql.begin` writes its
 * rollback to a closed socket, `sql.reserve` loses a connection permanently if connecting fails, and a running statement
 * may never settle. Here a client has exactly one connection, and a transaction ends with it.
 */
import createClient, { type Sql } from "postgres";

/** A local server is available immediately or not at all; the driver's own pauses grow to 20 s. */
export const RECONNECT_SECONDS = 0.1;

export interface TransactionPool {
  /**
   * Commits the work of `run`, or rolls back if it throws. `run` sends its statements without waiting in between. If it has
   * to wait, it checks `isLost` before the next one, which would otherwise start its own transaction on a new connection.
   */
  transaction<T>(options: { readOnly: boolean }, run: (sql: Sql, isLost: () => boolean) => Promise<T>): Promise<T>;
  end(): Promise<void>;
}

interface Client {
  readonly sql: Sql;
  /** Rejects when the connection is lost. */
  readonly lost: Promise<never>;
  isLost(): boolean;
}

/** At most `size` concurrent transactions; others wait. */
export function createTransactionPool(url: string, options: { size: number; name: string }): TransactionPool {
  const idle: Client[] = [];
  const waiting: (() => void)[] = [];
  const clients = new Set<Client>();
  let free = options.size;

  const take = async (): Promise<Client> => {
    if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    else free--;
    while (idle.at(-1)?.isLost()) discard(idle.pop()!);
    const client = idle.pop() ?? connect(url, options.name);
    clients.add(client);
    return client;
  };
  const giveBack = (client: Client) => {
    if (client.isLost()) discard(client);
    else idle.push(client);
    const next = waiting.shift();
    if (next) next();
    else free++;
  };
  const discard = (client: Client) => {
    clients.delete(client);
    client.sql.end({ timeout: 0 }).catch(() => {}); // nothing is left to end
  };
  return {
    async transaction({ readOnly }, run) {
      const client = await take();
      const { sql } = client;
      try {
        const work = (async () => {
          const [, result] = await allInOrder([
            sql.unsafe(readOnly ? "begin read only" : "begin").execute(),
            run(sql, client.isLost),
          ]);
          if (client.isLost()) throw new Error("the connection was lost before the commit");
          await sql.unsafe("commit");
          return result;
        })();
        return await Promise.race([work, client.lost]);
      } catch (error) {
        if (!client.isLost()) await Promise.race([sql.unsafe("rollback"), client.lost]).catch(() => {}); // if lost, the server has rolled back
        throw error;
      } finally {
        giveBack(client);
      }
    },
    async end() {
      await Promise.all([...clients].map((client) => client.sql.end({ timeout: 1 })));
    },
  };
}

function connect(url: string, name: string): Client {
  const { promise: lost, reject } = Promise.withResolvers<never>();
  lost.catch(() => {}); // no caller may be waiting
  let isLost = false;
  const sql = createClient(url, {
    max: 1,
    onnotice: () => {},
    fetch_types: false, // nothing could catch a failure of that query
    backoff: () => RECONNECT_SECONDS,
    connection: { application_name: name },
    onclose: () => {
      isLost = true;
      reject(new Error("the connection to the database was lost"));
    },
  });
  return { sql, lost, isLost: () => isLost };
}

/** Like Promise.all, but reports the first failure in list order, since later ones are its consequences. */
export async function allInOrder<T extends readonly unknown[]>(
  promises: { readonly [K in keyof T]: PromiseLike<T[K]> },
): Promise<T> {
  const results = await Promise.allSettled(promises as readonly PromiseLike<unknown>[]);
  return results.map((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  }) as unknown as T;
}
