/** Secrets that were told this once: each stands here with a copy button until somebody says that it is kept,
 * and until it was copied the browser asks before it leaves the page. */

import { copyButton } from "../page/copy";
import type { SecretEvent } from "./pb-act";

export class PbSecret extends HTMLElement {
  /** What nobody has copied yet. */
  #owed = new Set<HTMLElement>();

  connectedCallback(): void {
    document.addEventListener("pb-secret", this.#told);
    window.addEventListener("beforeunload", this.#leaving);
  }

  disconnectedCallback(): void {
    document.removeEventListener("pb-secret", this.#told);
    window.removeEventListener("beforeunload", this.#leaving);
  }

  #told = (event: Event): void => {
    const { of, secret } = event as SecretEvent;
    const shape = this.querySelector("template")?.content.firstElementChild;
    if (!shape) return;
    const notice = document.importNode(shape, true) as HTMLElement;
    const title = notice.querySelector("[data-title]");
    const text = notice.querySelector<HTMLElement>("pre");
    if (title === null || text === null) return;
    title.textContent = `The secret of “${of}”.`;
    text.textContent = secret;
    this.#owed.add(notice);
    text.addEventListener("pb-copied", () => this.#owed.delete(notice));
    notice.querySelector("[data-done]")?.addEventListener("click", () => {
      this.#owed.delete(notice);
      notice.remove();
    });
    this.append(notice);
    copyButton(text);
    text.focus();
  };

  #leaving = (event: BeforeUnloadEvent): void => {
    if (this.#owed.size > 0) event.preventDefault();
  };
}

customElements.define("pb-secret", PbSecret);
