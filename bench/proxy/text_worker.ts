// Fetches a playlist as text and returns it: what all ways of rewriting have in common. Runs on: workerd.
export default {
  async fetch(request: Request): Promise<Response> {
    const text = await (await fetch(new URL(request.url).searchParams.get("url")!)).text();
    return new Response(text, { headers: { "content-type": "application/vnd.apple.mpegurl" } });
  },
};
