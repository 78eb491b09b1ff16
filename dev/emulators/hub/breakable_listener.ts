// A listener in front of an HTTP server that can break a client's connection at any moment, which Deno.serve cannot.
// Example: `listener.breakConnection(info.remoteAddr.port)` inside the handler.

export interface BreakableListener {
  readonly port: number;
  /** Breaks the client's connection that is relayed over this local port. */
  breakConnection(innerPort: number): void;
  /** Settles when the client relayed over this local port has closed its connection. */
  hungUp(innerPort: number): Promise<void>;
  stop(): Promise<void>;
}

export function listenBreakable(options: { port: number; innerPort: number }): BreakableListener {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: options.port });
  const connections = new Map<number, { close: () => void; hungUp: Promise<void> }>();
  const pending = new Set<Promise<void>>();

  async function carry(client: Deno.TcpConn) {
    let inner: Deno.TcpConn;
    try {
      inner = await Deno.connect({ hostname: "127.0.0.1", port: options.innerPort });
    } catch {
      client.close(); // the inner server has stopped
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
    const upward = client.readable.pipeTo(inner.writable).catch(() => {}); // either side may close at any moment
    const downward = inner.readable.pipeTo(client.writable).catch(() => {});
    connections.set(innerPort, { close, hungUp: upward });
    await Promise.all([upward, downward]);
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
    breakConnection: (innerPort) => connections.get(innerPort)?.close(),
    hungUp: (innerPort) => connections.get(innerPort)?.hungUp ?? Promise.resolve(),
    async stop() {
      listener.close();
      for (const { close } of connections.values()) close();
      await accepting;
      await Promise.all(pending);
    },
  };
}
