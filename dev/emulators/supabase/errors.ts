/**
 * An error in PostgREST's format, and the HTTP status for each SQLSTATE: `23505` → 409, `PT422` → 422.
 * After PostgREST's Error.hs (https://github.com/PostgREST/postgrest, MIT).
 */

/** The JSON body of an error. */
export interface RestErrorBody {
  readonly code?: string;
  readonly message: string;
  readonly details?: unknown;
  readonly hint?: string | null;
}

export class RestError extends Error {
  override readonly name = "RestError";

  constructor(
    readonly status: number,
    readonly body: RestErrorBody,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(body.message);
  }

  toResponse(): Response {
    const code = this.body.code;
    return new Response(JSON.stringify(this.body), {
      status: this.status,
      headers: {
        "content-type": "application/json; charset=utf-8",
        ...(code ? { "proxy-status": `PostgREST; error=${code}` } : {}),
        ...this.headers,
      },
    });
  }
}

/** What postgres.js throws for an error reported by the server. */
export interface PostgresFailure {
  readonly code: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
}

export function isPostgresFailure(error: unknown): error is PostgresFailure {
  return error instanceof Error && error.name === "PostgresError";
}

/** @param anonymous whether the request's role is `anon`: a missing privilege is then 401. */
export function fromPostgres(error: PostgresFailure, anonymous: boolean): RestError {
  const status = statusOf(error, anonymous);
  return new RestError(
    status,
    { code: error.code, details: error.detail ?? null, hint: error.hint ?? null, message: error.message },
    status === 401 ? { "www-authenticate": "Bearer" } : {},
  );
}

/** The database did not respond at all. */
export function databaseDown(error: unknown): RestError {
  const details = error instanceof Error ? error.message : String(error);
  return new RestError(503, {
    code: "PGRST001",
    details,
    hint: null,
    message: "Database client error. Retrying the connection.",
  });
}

const STATUS_OF_CODE: Readonly<Record<string, number>> = {
  "23503": 409,
  "23505": 409,
  "25006": 405,
  "21000": 500,
  "53400": 500,
  "57P01": 503,
  "P0001": 400,
  "42883": 404,
  "42P01": 404,
  "42P17": 500,
};

const STATUS_OF_CLASS: Readonly<Record<string, number>> = {
  "08": 503,
  "09": 500,
  "0L": 403,
  "0P": 403,
  "25": 500,
  "28": 403,
  "2D": 500,
  "38": 500,
  "39": 500,
  "3B": 500,
  "40": 500,
  "53": 503,
  "54": 500,
  "55": 500,
  "57": 500,
  "58": 500,
  "F0": 500,
  "HV": 500,
  "P0": 500,
  "XX": 500,
};

function statusOf({ code, message }: PostgresFailure, anonymous: boolean): number {
  if (code === "42501") return anonymous ? 401 : 403;
  if (code === "22023" && /^role .* does not exist$/.test(message)) return 401;
  if (code.startsWith("PT")) return /^[2-5]\d\d$/.test(code.slice(2)) ? Number(code.slice(2)) : 500;
  return STATUS_OF_CODE[code] ?? STATUS_OF_CLASS[code.slice(0, 2)] ?? 400;
}
