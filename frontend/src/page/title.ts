/** The tab's title: the state of affairs, and whether it may be out of date. */

let said = document.title;
let away = false;

export function setTitle(title: string): void {
  said = title;
  show();
}

/** While the server is silent nobody must read old news as the state of affairs. */
export function markAway(isAway: boolean): void {
  away = isAway;
  show();
}

function show(): void {
  const title = away ? `Not live · ${said}` : said;
  if (document.title !== title) document.title = title;
}
