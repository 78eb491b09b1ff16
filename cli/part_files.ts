// The forms in which the platforms' own tools read a part's variables.

type Variables = Readonly<Record<string, string>>;

/**
 * NAME=value without quotes: `docker run --env-file` takes a line as it is, quotes included; Compose, Deno and the Supabase CLI read
 * dotenv. Both read the same where the value holds nothing that dotenv treats as special.
 */
export function dotenv(values: Variables): string {
  return Object.entries(values).map(([name, value]) => `${name}=${value}\n`).join("");
}

/** One line for each value that `docker --env-file` and dotenv would read differently. */
export function checkPlain(values: Variables, names: readonly string[]): readonly string[] {
  return names.flatMap((name) => {
    const special = /[\r\n#$`\\]|^['"]|^\s|\s$/.exec(values[name]!)?.[0];
    if (special === undefined) return [];
    return [
      `${name}: holds ${
        JSON.stringify(special)
      }, which docker --env-file and dotenv read differently: use another value, or set it by hand`,
    ];
  });
}

/** For wrangler: its dotenv would put the shell's variables in place of $NAME. */
export function json(values: Variables): string {
  return JSON.stringify(values, null, 2) + "\n";
}

/** Creates what Vault does not have and changes what it has: `vault.create_secret` alone refuses a name that exists. */
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

/** Read the same whatever standard_conforming_strings is, and without ending the block's own quotes. */
function literal(text: string): string {
  const escaped = text.replaceAll("\\", "\\\\").replaceAll("'", "''").replaceAll("$", "\\u0024");
  return `e'${escaped}'`;
}
