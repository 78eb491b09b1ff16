// Synthetic page S9: a MEGA-shaped API and its encrypted files. Key bytes 00…1f, so the AES key is sixteen times 0x10.
import type { Site } from "./sites.ts";

export const MEGA_NODE = "AbCdEf12";
export const MEGA_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
export const MEGA_LINK = `https://drive.test/embed/${MEGA_NODE}#${MEGA_KEY}`;

export interface MegaSite {
  readonly site: Site;
  readonly asked: () => number;
}

/** Answers in turn: a negative number, or an object as the API gives it. */
export function megaApi(...answers: readonly unknown[]): MegaSite {
  let asked = 0;
  return {
    asked: () => asked,
    async site(request, url) {
      const [command] = await request.json();
      const right = request.method === "POST" && url.pathname === "/cs" && command.a === "g" && command.g === 1;
      if (!right || command.p !== MEGA_NODE) return Response.json([-2]);
      return Response.json(answers[Math.min(asked++, answers.length - 1)]);
    },
  };
}
