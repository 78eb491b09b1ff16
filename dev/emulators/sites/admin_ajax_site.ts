// Synthetic site: servers requested through admin-ajax.php, without and with a nonce. As strict as WordPress: multipart, the right
// action, Referer and Origin; otherwise the response is 0.
import { CHALLENGE_PAGE, hangs, htmlResponse, pages, type Site } from "./sites.ts";

const HOST = "https://ajax.test";
export const EPISODE_URL = `${HOST}/some-title-episode-1/`;

/** Responses of admin-ajax.php for each `nume`. */
export type AjaxResponses = Readonly<Record<string, Site>>;

export const adminAjaxResponses = (): AjaxResponses => ({
  "1": () => htmlResponse(`<iframe src="https://player.test/e/1"></iframe>`),
  "2": () => htmlResponse("https://bare.test/e/2"),
  "3": () => htmlResponse("0"),
  "4": () => htmlResponse(CHALLENGE_PAGE, { status: 403 }),
  "5": onceFailing(() => htmlResponse(`<iframe src="//again.test/e/5"></iframe>`)),
});

const OPTIONS = `
  <div class="east_player_option" id="o1" data-post="77" data-nume="1" data-type="schtml">Pucuk 720p</div>
  <div class="east_player_option" id="o2" data-post="77" data-nume="2" data-type="schtml"><span>Bare <b>480p</b></span></div>
  <div class="east_player_option" id="o0" data-nume="9" data-type="schtml"><span>No post</span></div>
  <div class="east_player_option" id="o3" data-post="77" data-nume="3" data-type="schtml"><span>Zero</span></div>
  <div class="east_player_option" id="o4" data-post="77" data-nume="4" data-type="schtml"><span>Challenge</span></div>
  <div class="east_player_option" id="o5" data-post="77" data-nume="5" data-type="schtml"><span>360p</span></div>`;

export function adminAjaxSite(responses: AjaxResponses = adminAjaxResponses(), options = OPTIONS): Site {
  return pages({
    "/anime/some-title/": `<div class="lstepsiode listeps"><ul>
      <li><div class="epsright"><span class="eps"><a href="/some-title-episode-2/">2</a></span></div>
          <div class="epsleft"><span class="lchx"><a href="/some-title-episode-2/">Some Title 2</a></span></div></li>
      <li><div class="epsright"><span class="eps"><a href="/some-title-episode-1/">1</a></span></div>
          <div class="epsleft"><span class="lchx"><a href="/some-title-episode-1/">Some Title</a></span></div></li>
      </ul></div>`,
    "/some-title-episode-1/": `<html><body><div id="server">${options}</div></body></html>`,
    "/wp-admin/admin-ajax.php": async (request, url) => {
      const form = await wordpressForm(request, "player_ajax");
      const response = responses[String(form?.get("nume"))];
      return form === null || form.get("post") !== "77" || response === undefined
        ? htmlResponse("0")
        : response(request, url);
    },
  });
}

export interface NonceSiteOptions {
  /** The nonce of each view of the episode's page, in turn; null: the page has no nonce script. */
  readonly nonces: readonly (string | null)[];
  readonly validNonce: string;
  readonly swapAttributes?: boolean;
}

export function nonceSite({ nonces, validNonce, swapAttributes = false }: NonceSiteOptions): Site {
  let view = 0;
  return pages({
    "/anime/some-title/": `<div class="episode-list-items">
      <a class="episode-item" href="/some-title-episode-1/"><span>Episode 1</span></a></div>`,
    "/some-title-episode-1/": () => {
      const nonce = nonces[Math.min(view++, nonces.length - 1)];
      const source = `src="data:text/javascript;base64,${
        btoa(`var ajax_video = {"ajaxurl":"x","nonce":"${nonce}"};`)
      }"`;
      const id = `id="ajax_video-js-extra"`;
      const script = nonce === null
        ? ""
        : `<script ${swapAttributes ? `${source} ${id}` : `${id} ${source}`}></script>`;
      return htmlResponse(`<html><head>${script}</head><body><ul class="tabs1 player">
        <li data-post="77" data-nume="1">Alpha 720p</li><li data-nume="2" data-post="77">480p</li></ul></body></html>`);
    },
    "/wp-admin/admin-ajax.php": async (request) => {
      const form = await wordpressForm(request, "player_ajax");
      if (form === null) return htmlResponse("0");
      if (form.get("nonce") !== validNonce) return htmlResponse("-1", { status: 403 });
      return htmlResponse(`<iframe src="https://player.test/e/${form.get("nume")}"></iframe>`);
    },
  });
}

/** The form, if the request is what a browser on the episode's page would send, otherwise null. */
async function wordpressForm(request: Request, action: string): Promise<FormData | null> {
  const { headers } = request;
  const right = request.method === "POST" && headers.get("content-type")?.startsWith("multipart/form-data") &&
    headers.get("referer") === EPISODE_URL && headers.get("origin") === HOST &&
    headers.get("x-requested-with") === "XMLHttpRequest";
  if (!right) return null;
  const form = await request.formData();
  return form.get("action") === action ? form : null;
}

function onceFailing(response: () => Response): Site {
  let calls = 0;
  return () => ++calls === 1 ? new Response("oops", { status: 500 }) : response();
}

export const HANGING_RESPONSE: Site = hangs;
