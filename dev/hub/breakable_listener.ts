// A listener in front of an HTTP server that can break one client's connection at any moment, which Deno.serve cannot.
// Example: `front.breakConnection(info.remoteAddr.port)` from inside the handler. Runs on: Deno.

export interface BreakableListener {
  readonly port: number;
  /** Breaks the client connection behind the inner connection with this local port. */
  breakConnection(innerPort: number): void;
  stop(): Promise<void>;
}

export function listenBreakable(options: { port: number; innerPort: number }): BreakableListener {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: options.port });
  const connections = new Map<number, () => void>();
  const pending = new Set<Promise<void>>();

  async function carry(client: Deno.TcpConn) {
    let inner: Deno.TcpConn;
    try {
      inner = await Deno.connect({ hostname: "127.0.0.1", port: options.innerPort });
    } catch {
      client.close(); // the server behind has stopped
      return;
    }
    const innerPort = inner.localAddr.port;
    const close = () => {
      for (const conn of [client, inner]) {
        try {
          conn.close();
        } catch { /* closed already */ }
      }
    };
    connections.set(innerPort, close);
    const both = [
      client.readable.pipeTo(inner.writable),
      inner.readable.pipeTo(client.writable),
    ].map((way) => way.catch(() => {})); // either side may go at any moment
    await Promise.race(both);
    await Promise.all(both);
    connections.delete(innerPort);
    close();
  }

  const accepting = (async () => {
    for await (const client of listener) {
      const carried = carry(client).finally(() => pending.delete(carried));
      pending.add(carried);
    }
  })().catch(() => {}); // accepting ends when the listener closes

  return {
    port: listener.addr.port,
    breakConnection: (innerPort) => connections.get(innerPort)?.(),
    async stop() {
      listener.close();
      for (const close of connections.values()) close();
      await accepting;
      await Promise.all(pending);
    },
  };
}
