// Test data: an .env with every variable set, each to a distinctive value.

export const FILLED_ENV: Readonly<Record<string, string>> = {
  SUPABASE_URL: "https://abcdefghijklmnopqrst.supabase.test",
  SUPABASE_SECRET_KEYS: '{"default":"sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz"}',
  SUPABASE_SERVICE_ROLE_KEY: "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJl",
  STREAM_SIGNING_KEYS: `k2:${"aB3-".repeat(10)}aB0,k1:${"_zX9".repeat(10)}_z0`,
  CLOUDFLARE_WORKERS_URL: "https://keystream-proxy.account.workers.test",
  PUBLIC_API_URL: "https://abcdefghijklmnopqrst.supabase.test/functions/v1",
  HF_STORAGE_ACCOUNT_COUNT: "2",
  HF_STORAGE_USERNAME_1: "first-account",
  HF_STORAGE_USERNAME_2: "second-account",
  HF_TOKEN_STORAGE_1: "hf_WriteTokenOfTheFirst",
  HF_TOKEN_STORAGE_2: "hf_WriteTokenOfTheSecond",
  HF_TOKEN_STORAGE_READ_1: "hf_ReadTokenOfTheFirst",
  HF_TOKEN_STORAGE_READ_2: "hf_ReadTokenOfTheSecond",
  HF_REPO_PREFIX: "keystream",
  S3_ENDPOINT: "https://account.r2.test",
  S3_BUCKET: "archives",
  S3_ACCESS_KEY_ID: "WRITEKEYID0123456789",
  S3_SECRET_ACCESS_KEY: "write/secret+of=the'bucket",
  S3_READ_ACCESS_KEY_ID: "READKEYID0123456789",
  S3_READ_SECRET_ACCESS_KEY: "read/secret+of=the bucket",
  STORAGE_FOLDER: "/srv/archive",
  STORAGE_FOLDER_URL: "https://runner.test/archive",
  STORAGE_FOLDER_TOKEN: "folder-token-0123456789",
  HF_FILE_SALT: "a salt with blanks; and = signs & more",
  RUNNER_WEBHOOK_SECRET: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
  HF_SPACE_WEBHOOK_URL: "https://runner.test",
  HF_TOKEN_WORKER: "hf_ReadTokenOfTheSpace",
  EXTRA_PORTS: "8443",
  DEV_ALLOWED_ORIGINS: "http://192.168.1.10:8000",
  OF_NO_PART: "kept to itself",
};

export function filledEnvText(): string {
  return Object.entries(FILLED_ENV).map(([name, value]) => `${name}=${value}\n`).join("");
}
