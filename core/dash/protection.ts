// Names the DRM system of a ContentProtection element by its scheme (https://dashif.org/identifiers/content_protection/).
import type { XmlElement } from "./xml.ts";

const SYSTEMS: Readonly<Record<string, string>> = {
  "edef8ba9-79d6-4ace-a3c8-27dcd51d21ed": "Widevine",
  "9a04f079-9840-4286-ab92-e65be0885f95": "PlayReady",
  "94ce86fb-07ff-4f43-adb8-93d2fa968ca2": "FairPlay",
  "29701fe4-3cc7-4a34-8c5b-ae90c7439a47": "FairPlay",
  "e2719d58-a985-b3c9-781a-b030af78d30e": "ClearKey",
  "1077efec-c0b2-4d02-ace3-3c1e52e2fb4b": "ClearKey",
  "5e629af5-38da-4063-8977-97ffbd9902d4": "Marlin",
  "f239e769-efa3-4850-9c16-a903c6932efb": "Primetime",
  "80a6be7e-1448-4c37-9e70-d5aebe04c8d2": "Irdeto",
  "9a27dd82-fde2-4725-8cbc-4234aa06ec09": "Verimatrix",
};

const SCHEMES: Readonly<Record<string, string>> = {
  "urn:mpeg:dash:mp4protection:2011": "Common Encryption",
  "urn:mpeg:dash:sea:2012": "DASH segment encryption",
};

export function protectionName(element: XmlElement): string {
  const scheme = (element.get("schemeIdUri") ?? "").toLowerCase();
  const uuid = /^urn:uuid:([\da-f-]{36})$/.exec(scheme)?.[1];
  return (uuid === undefined ? SCHEMES[scheme] : SYSTEMS[uuid]) ?? `scheme ${scheme.slice(0, 60) || "without a name"}`;
}
