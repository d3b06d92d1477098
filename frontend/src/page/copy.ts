/** A copy button on each block of text that is meant to be taken elsewhere. */

const SAID_MS = 1_500;

export function copyButtons(): void {
  for (const block of document.querySelectorAll<HTMLElement>("pre[data-copy]")) copyButton(block);
}

/** Gives the block its button; `pb-copied` comes from the block once its text has been taken. */
export function copyButton(block: HTMLElement): void {
  if (!("clipboard" in navigator)) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button copy";
  button.textContent = "Copy";
  button.addEventListener("click", () => {
    void navigator.clipboard.writeText(block.textContent ?? "").then(() => {
      button.textContent = "Copied";
      window.setTimeout(() => (button.textContent = "Copy"), SAID_MS);
      block.dispatchEvent(new Event("pb-copied"));
    });
  });
  const frame = document.createElement("div");
  frame.className = "copyable";
  block.replaceWith(frame);
  frame.append(block, button);
}
