/**
 * A database for one test: a copy (about 0.1 s) of the migrated one in the run's cluster.
 *
 * @example
 * await using database = await createTestDatabase();
 * const [row] = await database.sql`select enqueue_video(…)`;
 */
import createClient, { type Options, type PostgresType, type Sql } from "postgres";
import { sharedClusterUrl } from "./test_cluster.ts";

export type TestRole = "supabase_admin" | "postgres" | "authenticator" | "anon" | "authenticated" | "service_role";

export interface TestDatabase extends AsyncDisposable {
  readonly name: string;
  /** As `postgres`, the owner of the database. */
  readonly url: string;
  readonly authenticatorUrl: string;
  readonly adminUrl: string;
  /** As `postgres`. */
  readonly sql: Sql;
  /** As the superuser. */
  readonly admin: Sql;
  /** As `service_role`, like functions and runner. */
  readonly serviceRole: Sql;
  /** Another client, closed with the database. */
  connect(role: TestRole, options?: Options<Record<string, PostgresType>>): Sql;
}

/**
 * @param options.cluster a cluster other than the run's: a URL for its superuser
 */
export async function createTestDatabase(options: { cluster?: string } = {}): Promise<TestDatabase> {
  const cluster = options.cluster ?? await sharedClusterUrl();
  const name = `test_${crypto.randomUUID().replaceAll("-", "").slice(0, 16)}`;
  // Copying files takes a third of the CPU of the default, which writes them to the log; nothing is flushed to disk here.
  const create = `create database ${name} template postgres owner postgres strategy file_copy`;
  await onCluster(cluster, (sql) => sql.unsafe(create));
  const clients: Sql[] = [];
  const connect = (role: TestRole, options: Options<Record<string, PostgresType>> = {}): Sql => {
    const client = createClient(roleUrl(cluster, { role: loginOf(role), database: name }), {
      max: 4,
      onnotice: () => {},
      ...options,
      connection: { ...(loginOf(role) === role ? {} : { role }), ...options.connection },
    });
    clients.push(client);
    return client;
  };
  return {
    name,
    url: roleUrl(cluster, { role: "postgres", database: name }),
    authenticatorUrl: roleUrl(cluster, { role: "authenticator", database: name }),
    adminUrl: roleUrl(cluster, { role: "supabase_admin", database: name }),
    sql: connect("postgres"),
    admin: connect("supabase_admin"),
    serviceRole: connect("service_role"),
    connect,
    async [Symbol.asyncDispose]() {
      await Promise.all(clients.map((client) => client.end({ timeout: 1 })));
      await onCluster(cluster, (sql) => sql.unsafe(`drop database if exists ${name} with (force)`));
    },
  };
}

/** A role that cannot log in is assumed by one that can, as the REST gateway does. */
function loginOf(role: TestRole): string {
  return role === "anon" || role === "authenticated" || role === "service_role" ? "authenticator" : role;
}

/** All roles that can log in share the cluster's password. */
function roleUrl(cluster: string, target: { role: string; database: string }): string {
  const url = new URL(cluster);
  url.username = target.role;
  url.pathname = `/${target.database}`;
  return url.href;
}

async function onCluster(cluster: string, use: (sql: Sql) => Promise<unknown>): Promise<void> {
  const sql = createClient(roleUrl(cluster, { role: "supabase_admin", database: "template1" }), {
    max: 1,
    onnotice: () => {},
  });
  try {
    await use(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}
