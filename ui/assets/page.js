// Keeps a page up to date: fetches it anew, and puts the new content in the place of the old one without moving
// what the reader looks at. Stops while nobody looks.

const main = document.getElementById('main');
const every = Number(main?.dataset.refresh) * 1000;
let timer = 0;
let busy = false;

// place says where an element is, in a way that finds its like in a newer copy of the page.
function place(element) {
  if (!element || element === document.body || element === main) return null;
  if (element.id) return (root) => root.querySelector('#' + CSS.escape(element.id));
  const href = element.getAttribute('href');
  if (!href) return null;
  const same = (root) => [...root.querySelectorAll('a')].filter((a) => a.getAttribute('href') === href);
  const index = same(main).indexOf(element);
  return (root) => same(root)[index];
}

// warm loads the pictures that the reader has in sight, so that nothing flickers when they are put in.
async function warm(fresh) {
  const bare = (src) => src.replace(/([?&])v=[^&]*/, '');
  const shown = new Set();
  for (const img of main.querySelectorAll('img')) {
    if (img.complete && img.naturalWidth > 0) shown.add(bare(img.getAttribute('src')));
  }
  const loads = [];
  for (const img of fresh.querySelectorAll('img')) {
    if (!shown.has(bare(img.getAttribute('src')))) continue;
    img.loading = 'eager';
    loads.push(img.decode().catch(() => {}));
  }
  await Promise.race([Promise.all(loads), new Promise((done) => setTimeout(done, 3000))]);
}

// put replaces the old content by the new. What is marked to stay (a live chart) is carried over.
export function put(fresh) {
  const active = document.activeElement;
  const find = main.contains(active) ? place(active) : null;
  const open = new Map([...main.querySelectorAll('details')].map((d, i) => [i, d.open]));
  for (const old of main.querySelectorAll('[data-keep]')) {
    const like = fresh.querySelector('#' + CSS.escape(old.id));
    if (!like) continue;
    old.dataset.src = like.dataset.src;
    like.replaceWith(old);
  }
  main.replaceChildren(...fresh.childNodes);
  main.querySelectorAll('details').forEach((d, i) => { if (open.has(i)) d.open = open.get(i); });
  if (find) find(main)?.focus({ preventScroll: true });
}

// load fetches a page of ours and gives back its main part; the head and foot are put in at once.
export async function load(url) {
  const answer = await fetch(url, { headers: { Accept: 'text/html' } });
  if (!answer.ok) throw new Error('status ' + answer.status);
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  const fresh = document.adoptNode(page.getElementById('main'));
  for (const id of ['counts', 'made']) {
    const old = document.getElementById(id), now = page.getElementById(id);
    if (old && now && document.activeElement !== old) old.replaceChildren(...now.childNodes);
  }
  document.title = page.title;
  document.getElementById('stale').hidden = true;
  document.getElementById('made').hidden = false;
  return fresh;
}

// stale says that the page is old, in words that are not in the page before: a text browser shows what is hidden.
export function stale() {
  const line = document.getElementById('stale'), made = document.getElementById('made');
  line.textContent = line.dataset.text + (made.querySelector('time')?.textContent ?? '') + '.';
  line.hidden = false;
  made.hidden = true;
}

// A page whose form somebody is filling in waits.
const writing = () => Boolean(main?.contains(document.activeElement) && document.activeElement.closest('form'));

async function refresh() {
  if (busy || document.hidden) return;
  if (writing()) return plan();
  busy = true;
  try {
    const url = location.href;
    const fresh = await load(url);
    await warm(fresh);
    if (url === location.href) {
      put(fresh);
      document.dispatchEvent(new CustomEvent('refreshed'));
    }
  } catch {
    stale();
  } finally {
    busy = false;
    plan();
  }
}

function plan() {
  clearTimeout(timer);
  if (every > 0 && !document.hidden) timer = setTimeout(refresh, every);
}

let hiddenAt = 0;
document.addEventListener('visibilitychange', () => {
  if (document.hidden) {
    hiddenAt = Date.now();
    clearTimeout(timer);
  } else if (every > 0 && Date.now() - hiddenAt > every) {
    refresh();
  } else {
    plan();
  }
});
document.addEventListener('refresh', refresh); // asked for by a key
plan();
