// The first lines of /sw.js, before the player's worker. Archived pages share the worker's origin and may speak to it: here it
// is decided whose orders it takes, and nothing that can run leaves it without a policy that holds whatever the frame says.
(() => {
  "use strict";
  const COPY = /^\/([^/]+)\/(\d{0,14})([a-z]{2}_)\/(.+)$/s;
  const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;
  const RESERVED = new Set(["en", "fr", "api", "static"]);
  const RUNS = new Set(["document", "iframe", "frame", "embed", "object", "worker", "sharedworker"]);
  const INSIDE = "connect-src 'self' data: blob:"; // the worker's own policy lets sockets go anywhere
  const isHtml = (response) => /^\s*(?:text\/html|application\/xhtml\+xml)\b/i.test(response.headers.get("content-type") ?? "");

  // One order is taken, in one wording, whoever gives it: a page that can reach its parent can speak in its parent's name.
  // Any other could put another archive, or none, in the place of this one.
  addEventListener("message", (event) => {
    const name = event.data?.name;
    const isCollection = typeof name === "string" && NAME.test(name) && !RESERVED.has(name);
    if (!isCollection || JSON.stringify(event.data) !== JSON.stringify(added(name))) event.stopImmediatePropagation();
  });

  function added(name) {
    const prefix = `${location.origin}/${name}/`;
    return {
      msg_type: "addColl",
      name,
      type: "live",
      file: { sourceUrl: `proxy:${prefix}` },
      skipExisting: false,
      extraConfig: {
        prefix: `${location.origin}/`,
        isLive: false,
        archivePrefix: `-/worker/${name}/`,
        archiveMod: "ir_",
        baseUrl: prefix,
        baseUrlAppendReplay: true,
        noPostToGet: true,
      },
    };
  }

  addEventListener("fetch", (event) => {
    const { request } = event;
    const url = new URL(request.url);
    if (url.origin !== location.origin) return;
    const take = (answer) => { event.stopImmediatePropagation(); event.respondWith(answer); };
    if (url.pathname.startsWith("/api/")) return take(new Response("", { status: 404 })); // the player's own orders, as addresses
    const copy = COPY.exec(url.pathname);
    if (!copy) return;
    const [, collection, timestamp, form, rest] = copy;
    if (form === "nj_") return;
    if (form === "ir_" || form === "id_") return take(fetch(request)); // raw means raw, and in the sandbox that it comes in
    if (request.mode === "navigate" && request.destination === "document") {
      // A link opened in a window of its own: under the bar and in the frame, like every copy.
      return take(Response.redirect(`${url.origin}/${collection}/${timestamp}/${rest}${url.search}`, 302));
    }
    if (!RUNS.has(request.destination)) return;
    const respond = event.respondWith.bind(event);
    event.respondWith = (answer) => respond(Promise.resolve(answer).then((found) => sealed(found, request.mode === "navigate")));
  });

  function sealed(response, isPage) {
    if (response.body === null || response.type === "error") return response;
    const headers = new Headers(response.headers);
    headers.append("Content-Security-Policy", INSIDE);
    // guard.js is put into HTML only; another document, such as SVG, is shown without its scripts.
    if (isPage) headers.append("Content-Security-Policy", `sandbox allow-same-origin allow-forms${isHtml(response) ? " allow-scripts" : ""}`);
    return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
  }
})();
