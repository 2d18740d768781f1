// Runs first in every replayed page: closes the ways out that neither the worker nor a frame's sandbox can see.
"use strict";
(() => {
  const gone = [
    "RTCPeerConnection", "webkitRTCPeerConnection", "RTCDataChannel", "WebTransport", "PaymentRequest", "PresentationRequest",
  ];
  for (const name of gone) {
    try {
      delete window[name];
      if (name in window) Object.defineProperty(window, name, { value: undefined });
    } catch { /* already locked, by an earlier run in the same window */ }
  }
  // Sockets are allowed by the worker's own policy; policies only ever get stricter, so this one holds as well.
  const policy = document.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content = "connect-src 'self' data: blob:";
  (document.head || document.documentElement).prepend(policy);
  const hints = new Set(["preconnect", "dns-prefetch", "prerender"]);
  const isHint = (node) => node.nodeName === "LINK" && [...node.relList].some((rel) => hints.has(rel));
  new MutationObserver((changes) => {
    for (const change of changes) for (const node of change.addedNodes) if (node.nodeType === 1 && isHint(node)) node.remove();
  }).observe(document, { childList: true, subtree: true });
})();
