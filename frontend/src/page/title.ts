/** The tab's title: the state of affairs, and whether it may be out of date. */

let said = document.title;
let away = "";

export function setTitle(title: string): void {
  said = title;
  show();
}

/** Says why nobody must read what the title says as the state of affairs; with nothing, that it is. */
export function markAway(why: string): void {
  away = why;
  show();
}

function show(): void {
  const title = away ? `${away} · ${said}` : said;
  if (document.title !== title) document.title = title;
}
