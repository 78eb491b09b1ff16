// Formats a part's variables for the tools of its platform.

type Variables = Readonly<Record<string, string>>;

/**
 * NAME=value without quotes: `docker run --env-file` takes lines literally, quotes included, while Compose, Deno and the Supabase CLI
 * parse dotenv. Both read the same value if it contains nothing that is special in dotenv.
 */
export function dotenv(values: Variables): string {
  return Object.entries(values).map(([name, value]) => `${name}=${value}\n`).join("");
}

/** A message for each value that `docker --env-file` and dotenv would read differently. */
export function checkPlain(values: Variables, names: readonly string[]): readonly string[] {
  return names.flatMap((name) => {
    const special = /[\r\n#$`\\]|^['"]|^\s|\s$/.exec(values[name]!)?.[0];
    if (special === undefined) return [];
    return [
      `${name}: contains ${
        JSON.stringify(special)
      }, which docker --env-file and dotenv read differently: use another value, or set it by hand`,
    ];
  });
}

/** For wrangler: its dotenv parser would expand $NAME from the shell. */
export function json(values: Variables): string {
  return JSON.stringify(values, null, 2) + "\n";
}

/** Creates or updates secrets in Vault; `vault.create_secret` refuses a name that exists. */
export function vaultSql(values: Variables): string {
  const rows = Object.entries(values).map(([name, value]) => `      (${literal(name)}, ${literal(value)})`);
  return `-- Written by \`deno task env\`: secrets for Vault.
do $do$
declare
  secret record;
  present uuid;
begin
  for secret in
    select given.name, given.value from (values
${rows.join(",\n")}
    ) as given (name, value)
  loop
    select s.id into present from vault.secrets s where s.name = secret.name;
    if present is null then
      perform vault.create_secret(secret.value, secret.name);
    else
      perform vault.update_secret(present, secret.value);
    end if;
  end loop;
end
$do$;
`;
}

/** An escape string: independent of standard_conforming_strings, and free of the `$` that would end the DO block. */
function literal(text: string): string {
  const escaped = text.replaceAll("\\", "\\\\").replaceAll("'", "''").replaceAll("$", "\\u0024");
  return `e'${escaped}'`;
}
