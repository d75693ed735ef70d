// What the pages do beyond htmx's polling; everything works without this file.
(() => {
  "use strict";

  const root = document.querySelector(".sb-root");
  if (!root) return;

  // A failed poll leaves the part as it is; what a person has opened stays open when the part is renewed.
  if (window.htmx) {
    htmx.config.noSwap = [204, 304, "4xx", "5xx"];
    htmx.config.morphIgnore = ["data-htmx-powered", "open"];
  }

  const offline = root.querySelector(".sb-offline");
  const showOffline = (isLost) => { if (offline) offline.hidden = !isLost; };
  document.addEventListener("htmx:error", () => showOffline(true));
  document.addEventListener("htmx:after:request", (event) => {
    const response = event.detail.ctx.response;
    if (response) showOffline(response.status >= 500);
  });

  root.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-sb-submit-on-change]");
    if (form && event.target.matches("select")) form.requestSubmit();
  });

  // The same form twice does the same thing once; a button that waits says so.
  root.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (button) setTimeout(() => { button.disabled = true; button.setAttribute("aria-busy", "true"); });
  });
  window.addEventListener("pageshow", () => {
    root.querySelectorAll("button[aria-busy]").forEach((button) => {
      button.disabled = false;
      button.removeAttribute("aria-busy");
    });
  });
})();
