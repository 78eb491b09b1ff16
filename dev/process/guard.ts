/**
 * Ends the process groups that this process started if it dies without ending them itself (kill -9, a crash, a closed
 * container): a small shell in its own session waits until the other end of a pipe closes. The groups are in a file, written
 * synchronously, because a line still in the pipe would be lost with its sender.
 */

const SCRIPT = `
trap '' INT TERM HUP
cat > /dev/null
groups=''
while read -r verb signal group; do
  kept=''
  for entry in $groups; do [ "\${entry#*:}" = "$group" ] || kept="$kept $entry"; done
  groups=$kept
  [ "$verb" = add ] && groups="$groups $signal:$group"
done < "$1"
rm -f "$1"
[ -n "$groups" ] || exit 0
for entry in $groups; do kill -"\${entry%%:*}" -"\${entry#*:}"; done
tries=0
while [ $tries -lt 80 ]; do
  alive=''
  for entry in $groups; do kill -0 -"\${entry#*:}" && alive=yes; done
  [ -n "$alive" ] || exit 0
  sleep 0.1
  tries=$((tries + 1))
done
for entry in $groups; do kill -KILL -"\${entry#*:}"; done
`;

/** The guard of one process; call `close()` when everything it guards has ended. */
export interface Guard {
  /** From now on `group` (the pid of a process group leader) receives `signal` when this process dies. */
  add(group: number, signal?: "TERM" | "INT"): void;
  /** `group` has ended, so its number may belong to an unrelated process from now on. */
  remove(group: number): void;
  close(): Promise<void>;
}

export function startGuard(): Guard {
  const list = Deno.makeTempFileSync({ prefix: "keepstream-guard-" });
  const shell = new Deno.Command("/bin/sh", {
    args: ["-c", SCRIPT, "guard", list],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
    detached: true,
  }).spawn();
  const note = (line: string) => {
    try {
      Deno.writeTextFileSync(list, line + "\n", { append: true, create: false });
    } catch { /* the guard has ended: it guards nothing */ }
  };
  return {
    add: (group, signal = "TERM") => note(`add ${signal} ${group}`),
    remove: (group) => note(`remove - ${group}`),
    async close() {
      await shell.stdin.close().catch(() => {});
      await shell.status;
    },
  };
}
