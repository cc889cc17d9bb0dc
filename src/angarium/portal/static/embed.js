// <angarium-portal url="https://…/login#key=…"></angarium-portal> embeds the portal in your page, with the height
// of its content. The server must allow the origin of your page (ANGARIUM_FRAME_ANCESTORS).
"use strict";

class AngariumPortal extends HTMLElement {
  static observedAttributes = ["url"];
  #frame = null;
  #origin = "";
  #hear = (event) => {
    if (event.source !== this.#frame?.contentWindow || event.origin !== this.#origin) return;
    const { type, height } = event.data ?? {};
    if (type === "angarium-portal" && Number.isFinite(height)) this.#frame.style.height = `${Math.min(height, 20000)}px`;
  };

  #shown = false;

  connectedCallback() { window.addEventListener("message", this.#hear); this.#shown = true; this.#show(); }
  disconnectedCallback() {
    window.removeEventListener("message", this.#hear);
    this.#shown = false;
    this.#empty();
  }
  // for an element older than this script, attributes are reported first
  attributeChangedCallback() { if (this.#shown) this.#show(); }

  #empty() { this.replaceChildren(); this.#frame = null; }

  #show() {
    const asked = this.getAttribute("url");
    if (!asked) return this.#empty();
    const url = new URL(asked, location.href);
    if (!/^https?:$/.test(url.protocol)) return this.#empty();
    this.#origin = url.origin;
    const frame = document.createElement("iframe");
    frame.title = this.getAttribute("label") ?? "Webhooks";
    frame.allow = "clipboard-write";
    frame.style.cssText = "display:block;width:100%;border:0;min-height:20rem";
    frame.src = url.href;
    this.#frame = frame;
    this.replaceChildren(frame);
  }
}
customElements.define("angarium-portal", AngariumPortal);
