// What a proxy could cost at least: no check, no header touched. Runs on: workerd.
export default {
  fetch: (request: Request) => fetch(new URL(request.url).searchParams.get("url")!, { headers: request.headers }),
};
