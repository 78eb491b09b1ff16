/**
 * A headless Firefox with one tab, controlled over WebDriver BiDi. `deno task test` does not need it: Chromium is sufficient.
 * `await using tab = await startFirefox(program); await tab.open("http://127.0.0.1:8787/proxy?…")`
 */

export interface FirefoxTab extends AsyncDisposable {
  open(url: string): Promise<void>;
  /** The JSON value of an expression, evaluated in a sandbox that sees the page even if the page's scripts may not run. */
  evaluate(expression: string): Promise<unknown>;
  press(key: string): Promise<void>;
}

interface Reply {
  readonly id?: number;
  readonly type: "success" | "error" | "event";
  readonly result?: unknown;
  readonly message?: string;
}

export async function startFirefox(program: string): Promise<FirefoxTab> {
  const profile = await Deno.makeTempDir({ prefix: "keepstream-firefox-" });
  const child = new Deno.Command(program, {
    args: ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0", "about:blank"],
    env: { HOME: profile, MOZ_HEADLESS: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const { promise: url, resolve } = Promise.withResolvers<string | null>();
  const reading = (async () => {
    let text = "";
    for await (const chunk of child.stderr.pipeThrough(new TextDecoderStream())) {
      text = (text + chunk).slice(-10_000);
      const found = /WebDriver BiDi listening on (ws:\S+)/.exec(text);
      if (found !== null) resolve(found[1]!);
    }
    resolve(null);
  })();
  let socket: WebSocket | null = null;
  const stop = async () => {
    socket?.close();
    child.kill("SIGTERM");
    await child.status;
    await reading;
    await Deno.remove(profile, { recursive: true });
  };
  try {
    const found = await url;
    if (found === null) throw new Error("firefox did not start");
    socket = new WebSocket(`${found}/session`);
    const send = await connect(socket);
    await send("session.new", { capabilities: {} });
    const { context } = await send("browsingContext.create", { type: "tab" }) as { context: string };
    return {
      open: async (url) => void await send("browsingContext.navigate", { context, url, wait: "complete" }),
      async evaluate(expression) {
        const target = { context, sandbox: "test" };
        const parameters = { expression: `JSON.stringify(${expression})`, target, awaitPromise: true };
        const { result } = await send("script.evaluate", parameters) as { result: { value: string } };
        return JSON.parse(result.value);
      },
      async press(key) {
        const keys = [{ type: "keyDown", value: key }, { type: "keyUp", value: key }];
        await send("input.performActions", { context, actions: [{ type: "key", id: "keyboard", actions: keys }] });
      },
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function connect(socket: WebSocket): Promise<(method: string, params: object) => Promise<unknown>> {
  const waiting = new Map<number, (reply: Reply) => void>();
  socket.onmessage = ({ data }) => {
    const reply = JSON.parse(data) as Reply;
    if (reply.id !== undefined) waiting.get(reply.id)?.(reply);
  };
  await new Promise<unknown>((done, fail) => Object.assign(socket, { onopen: done, onerror: fail }));
  let id = 0;
  return (method, params) =>
    new Promise((done, fail) => {
      waiting.set(++id, (reply) => reply.type === "success" ? done(reply.result) : fail(new Error(reply.message)));
      socket.send(JSON.stringify({ id, method, params }));
    });
}
