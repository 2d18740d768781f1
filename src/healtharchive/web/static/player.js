// The player's page: start the worker, show the copy in the frame, keep the bar true while the reader follows links.
// Without a worker (old browser, plain http, npm absent at set-up) the frame shows the view without scripts.
"use strict";
(() => {
  const START_MS = 15000;
  const body = document.getElementById("player");
  const frame = document.getElementById("copy");
  const note = document.getElementById("note");
  const { worker, collection, plain, facts } = body.dataset;
  let shown = body.dataset.frame;

  const withTimeout = (promise, what) =>
    Promise.race([promise, new Promise((_, fail) => setTimeout(() => fail(new Error(what)), START_MS))]);

  function once(target, type, accept) {
    return new Promise((done) => {
      const listener = (event) => {
        if (accept && !accept(event)) return;
        target.removeEventListener(type, listener);
        done(event);
      };
      target.addEventListener(type, listener);
    });
  }

  async function start() {
    if (worker !== "yes" || !("serviceWorker" in navigator)) throw new Error("no service worker");
    const guard = encodeURIComponent(`${location.origin}/-/static/guard.js`);
    await navigator.serviceWorker.register(`/sw.js?replayPrefix=&injectScripts=${guard}`, { scope: "/" });
    const registration = await navigator.serviceWorker.ready;
    if (!navigator.serviceWorker.controller) await once(navigator.serviceWorker, "controllerchange");
    const added = once(navigator.serviceWorker, "message", (event) => event.data?.msg_type === "collAdded" && event.data.name === collection);
    navigator.serviceWorker.startMessages();
    const prefix = `${location.origin}/${collection}/`;
    // Word for word what warden.js lets through, in this order.
    registration.active.postMessage({
      msg_type: "addColl",
      name: collection,
      type: "live",
      file: { sourceUrl: `proxy:${prefix}` },
      skipExisting: false,
      extraConfig: {
        prefix: `${location.origin}/`,
        isLive: false,
        archivePrefix: `-/worker/${collection}/`,
        archiveMod: "ir_",
        baseUrl: prefix,
        baseUrlAppendReplay: true,
        noPostToGet: true,
      },
    });
    await added;
  }

  function show(url, sandbox) {
    frame.setAttribute("sandbox", sandbox);
    frame.src = url;
    frame.hidden = false;
  }

  // -- the bar ---------------------------------------------------------------

  function parse(path) {
    const match = /^\/([^/]+)\/(\d{0,14})[a-z]{2}_\/(.+)$/s.exec(path);
    return match && { collection: match[1], timestamp: match[2], url: match[3] };
  }

  const text = (id, value) => { document.getElementById(id).textContent = value; };
  const href = (id, value) => { document.getElementById(id).href = value; };

  async function follow() {
    let here;
    try {
      const { pathname, search } = frame.contentWindow.location;
      here = pathname + search;
    } catch {
      return; // not ours to read
    }
    const asked = parse(here);
    if (!asked || here === shown) return;
    shown = here;
    const answer = await fetch(`${facts}${asked.collection}/${asked.timestamp}/${asked.url}`);
    const told = await answer.json();
    if (here !== shown) return; // the reader is elsewhere already
    text("bar-url", told.url.replace(/^https?:\/\//, "").replace(/\/$/, ""));
    href("bar-history", told.history_url);
    const isHere = told.state === "here";
    if (isHere && told.presentation !== "page") { location.replace(told.page_url); return; } // the frame cannot show it
    for (const id of ["bar-label", "bar-time", "bar-details", "bar-toggle"]) document.getElementById(id).hidden = !isHere;
    text("bar-date", isHere ? told.date : told.heading);
    document.title = isHere ? told.page_title : told.heading;
    text("bar-heading", document.title);
    if (!isHere) return;
    document.getElementById("bar-date").dateTime = told.iso;
    text("bar-time", told.minute);
    text("bar-source", told.source);
    href("bar-details", told.details_url);
    href("bar-toggle", told.toggle_url);
    href("bar-other", told.other_url);
    frame.title = told.frame_title;
    history.replaceState(null, "", told.page_url);
  }

  async function main() {
    note.hidden = false;
    try {
      await withTimeout(start(), "the worker did not start");
      frame.addEventListener("load", () => { note.hidden = true; follow(); });
      show(shown, "allow-scripts allow-same-origin allow-forms");
      body.dataset.mode = "scripted";
    } catch (error) {
      console.info("replay without scripts:", error.message);
      document.getElementById("fallback-note").hidden = worker === "yes" ? false : true;
      note.hidden = true;
      show(plain, body.dataset.plainSandbox);
      body.dataset.mode = "plain";
    }
  }

  main();
})();
