/** Functions, tables and role settings that `/rest/v1` exposes, read again after `notify pgrst`. */
import type { Sql } from "postgres";

export interface Routine {
  readonly name: string;
  readonly parameters: readonly { readonly name: string; readonly type: string; readonly required: boolean }[];
  readonly returnsSet: boolean;
  readonly returns: "void" | "composite" | "scalar";
  /** Settings of the function, applied to its whole transaction, because a function cannot time out itself. */
  readonly settings: readonly (readonly [string, string])[];
}

export interface Relation {
  readonly name: string;
  readonly columns: readonly string[];
  readonly primaryKey: readonly string[];
}

export interface SchemaCache {
  readonly routines: ReadonlyMap<string, readonly Routine[]>;
  readonly relations: ReadonlyMap<string, Relation>;
  /** `statement_timeout` and the like, by role. */
  readonly roleSettings: ReadonlyMap<string, readonly (readonly [string, string])[]>;
}

export async function loadSchemaCache(sql: Sql): Promise<SchemaCache> {
  const routines = await sql<RoutineRow[]>`
    select p.proname as name, p.proretset as returns_set, to_json(coalesce(p.proconfig, '{}')) as settings,
      case
        when t.typname = 'void' then 'void'
        when t.typtype = 'c' or t.typname = 'record' or coalesce(p.proargmodes::text[] && '{t,b,o}', false) then 'composite'
        else 'scalar'
      end as returns,
      to_json(coalesce(p.proargnames[1:p.pronargs], '{}')) as names,
      (select coalesce(json_agg(format_type(type, null) order by n), '[]')
       from unnest(p.proargtypes::oid[]) with ordinality as _(type, n)) as types,
      p.pronargs - p.pronargdefaults as required
    from pg_catalog.pg_proc p
    join pg_catalog.pg_type t on t.oid = p.prorettype
    where p.pronamespace = 'public'::regnamespace and p.prokind = 'f'
      and t.typname not in ('trigger', 'event_trigger')
    order by p.oid`;
  const relations = await sql<{ name: string; columns: string[]; primary_key: string[] }[]>`
    select c.relname as name, json_agg(a.attname order by a.attnum) as columns,
      coalesce(json_agg(a.attname order by a.attnum) filter (where a.attnum = any (i.indkey)), '[]') as primary_key
    from pg_catalog.pg_class c
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_catalog.pg_index i on i.indrelid = c.oid and i.indisprimary
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'm', 'p', 'f')
    group by c.relname`;
  const settings = await sql<{ role: string; settings: string[] }[]>`
    select rolname as role, to_json(rolconfig) as settings from pg_catalog.pg_roles where rolconfig is not null`;
  return {
    routines: Map.groupBy(routines.map(toRoutine), (routine) => routine.name),
    relations: new Map(
      relations.map(({ name, columns, primary_key }) => [name, { name, columns, primaryKey: primary_key }]),
    ),
    roleSettings: new Map(settings.map((row) => [row.role, row.settings.map(splitSetting)])),
  };
}

interface RoutineRow {
  readonly name: string;
  readonly returns_set: boolean;
  readonly settings: readonly string[];
  readonly returns: Routine["returns"];
  readonly names: readonly string[];
  readonly types: readonly string[];
  readonly required: number;
}

function toRoutine(row: RoutineRow): Routine {
  return {
    name: row.name,
    parameters: row.types.map((type, index) => ({
      name: row.names[index] ?? "",
      type,
      required: index < row.required,
    })),
    returnsSet: row.returns_set,
    returns: row.returns,
    settings: row.settings.map(splitSetting).filter(([name]) => name === "statement_timeout"),
  };
}

function splitSetting(text: string): [string, string] {
  const at = text.indexOf("=");
  return [text.slice(0, at), text.slice(at + 1)];
}
