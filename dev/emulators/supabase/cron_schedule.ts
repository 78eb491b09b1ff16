/**
 * pg_cron's schedules: `30 seconds`, `0 * * * *`, `0 3 $ * *` (last day of the month), `@hourly`. UTC, as on Supabase.
 * `cron.schedule` in the database has already refused malformed ones.
 */

export type Schedule =
  | { readonly kind: "interval"; readonly seconds: number }
  | { readonly kind: "reboot" }
  | { readonly kind: "calendar"; readonly matches: (minute: Date) => boolean };

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const NICKNAMES: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};

/** @throws {Error} for an invalid schedule. */
export function parseSchedule(text: string): Schedule {
  const trimmed = text.trim().toLowerCase();
  const interval = /^(\d+)\s+seconds?$/.exec(trimmed);
  if (interval) return { kind: "interval", seconds: Number(interval[1]) };
  if (trimmed === "@reboot" || trimmed === "@restart") return { kind: "reboot" };
  const fields = (NICKNAMES[trimmed] ?? trimmed).split(/\s+/);
  if (fields.length !== 5) throw new Error(`not a schedule: ${text}`);
  const [minute, hour, day, month, weekday] = fields as [string, string, string, string, string];
  const minutes = parseField(minute, { low: 0, high: 59 });
  const hours = parseField(hour, { low: 0, high: 23 });
  const days = day === "$" ? new Set<number>() : parseField(day, { low: 1, high: 31 });
  const months = parseField(month, { low: 1, high: 12, names: MONTHS });
  const weekdays = parseField(weekday, { low: 0, high: 7, names: DAYS });
  if (weekdays.has(0) || weekdays.has(7)) weekdays.add(0).add(7);
  return {
    kind: "calendar",
    matches(at) {
      if (!minutes.has(at.getUTCMinutes()) || !hours.has(at.getUTCHours()) || !months.has(at.getUTCMonth() + 1)) {
        return false;
      }
      const ofMonth = day === "$" ? isLastDay(at) : days.has(at.getUTCDate());
      const ofWeek = weekdays.has(at.getUTCDay());
      // Vixie cron: with both fields restricted either one is enough.
      return day.startsWith("*") || weekday.startsWith("*") ? ofMonth && ofWeek : ofMonth || ofWeek;
    },
  };
}

function parseField(text: string, options: { low: number; high: number; names?: readonly string[] }): Set<number> {
  const { low, high, names = [] } = options;
  const numberOf = (part: string) => names.includes(part) ? names.indexOf(part) + low : Number(part);
  const values = new Set<number>();
  for (const part of text.split(",")) {
    const [range = "", step = "1"] = part.split("/");
    const [from = "", to = from] = range === "*" ? [String(low), String(high)] : range.split("-");
    const [first, last, by] = [numberOf(from), numberOf(to), Number(step)];
    if (!(first >= low && last <= high && by >= 1)) throw new Error(`not a schedule: ${text}`);
    for (let value = first; value <= last; value += by) values.add(value);
  }
  return values;
}

function isLastDay(at: Date): boolean {
  return new Date(at.getTime() + 86_400_000).getUTCDate() === 1;
}
