/** One folder: STORAGE_FOLDER, and STORAGE_FOLDER_URL under which cf-proxy reaches the runner's /archive. */
import { repoPrefix, type StorageEnv, type TargetsFromEnv, withoutSlash } from "../storage_env.ts";
import type { FolderFilesOptions } from "./folder_files.ts";
import { createFolderTarget } from "./folder_target.ts";

export const folderTargets: TargetsFromEnv = (env, { problems, account }) => {
  if (!env.STORAGE_FOLDER) return [];
  if (!env.STORAGE_FOLDER_URL) problems.push("STORAGE_FOLDER_URL is missing");
  if (!env.STORAGE_FOLDER_TOKEN) problems.push("STORAGE_FOLDER_TOKEN is missing");
  return [createFolderTarget({
    root: withoutSlash(env.STORAGE_FOLDER),
    folderName: "folder",
    baseUrl: withoutSlash(env.STORAGE_FOLDER_URL ?? ""),
    repoPrefix: repoPrefix(env),
    account,
  })];
};

/** The options of `serveFolderFile`; null if no folder is configured. */
export function folderFromEnv(env: StorageEnv): FolderFilesOptions | null {
  if (!env.STORAGE_FOLDER || !env.STORAGE_FOLDER_TOKEN) return null;
  return { root: withoutSlash(env.STORAGE_FOLDER), token: env.STORAGE_FOLDER_TOKEN };
}
