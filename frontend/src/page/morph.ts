/** Makes one piece of the document like another, keeping what is already right: focus, open menus and
 * half-typed text survive a refresh. What carries data-keep gets new attributes and keeps its content. */

export function morph(from: Element, to: Element): void {
  attributes(from, to);
  if (to.hasAttribute("data-keep")) return;
  // It writes its own content from its attributes.
  if (from.localName === "pb-time") return;
  const old = [...from.childNodes];
  const keyed = new Map(old.filter((node) => keyOf(node) !== null).map((node) => [keyOf(node), node]));
  let cursor: ChildNode | null = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const key = keyOf(wanted);
    const match: ChildNode | null | undefined = key === null ? cursor : keyed.get(key);
    if (match && alike(match, wanted) && keyOf(match) === key) {
      if (match !== cursor) from.insertBefore(match, cursor);
      else cursor = cursor.nextSibling;
      if (match instanceof Element) morph(match, wanted as Element);
      else if (match.nodeValue !== wanted.nodeValue) match.nodeValue = wanted.nodeValue;
    } else {
      from.insertBefore(document.importNode(wanted, true), cursor);
    }
  }
  while (cursor !== null) {
    const next: ChildNode | null = cursor.nextSibling;
    cursor.remove();
    cursor = next;
  }
}

function alike(a: Node, b: Node): boolean {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName;
}

function keyOf(node: Node): string | null {
  return node instanceof Element ? (node.getAttribute("data-key") ?? (node.id === "" ? null : node.id)) : null;
}

function attributes(from: Element, to: Element): void {
  for (const { name } of [...from.attributes]) {
    // A menu that someone opened stays open.
    if (!to.hasAttribute(name) && !(name === "open" && from.localName === "details")) from.removeAttribute(name);
  }
  for (const { name, value } of [...to.attributes]) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
}
