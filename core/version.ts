/** The release that this code belongs to (CHANGELOG.md). */
export const VERSION = "0.1.0";
