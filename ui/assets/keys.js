// Keys, the search box, the switches of theme and time zone, and the kiosk.

import { stale } from './page.js';

const box = document.getElementById('q');
let list = null;
let asked = 0;
let first = '';

const typing = (target) => target.closest?.('input, select, textarea, [contenteditable]');

// ---- search

function closeList() {
  list?.remove();
  list = null;
  box?.setAttribute('aria-expanded', 'false');
  box?.removeAttribute('aria-activedescendant');
}

function choose(index) {
  const options = [...list.children];
  for (const o of options) o.setAttribute('aria-selected', 'false');
  const option = options[(index + options.length) % options.length];
  option?.setAttribute('aria-selected', 'true');
  if (option) box.setAttribute('aria-activedescendant', option.id);
}

const chosen = () => (list ? [...list.children].findIndex((o) => o.getAttribute('aria-selected') === 'true') : -1);

async function search() {
  const turn = ++asked, words = box.value.trim();
  if (!words) return closeList();
  const answer = await fetch('/search.json?' + new URLSearchParams({ q: words }));
  if (!answer.ok || turn !== asked) return;
  const hits = await answer.json();
  if (turn !== asked || document.activeElement !== box) return;
  const before = chosen() >= 0 ? list.children[chosen()].dataset.url : '';
  closeList();
  if (hits.length === 0) return;
  list = document.createElement('ul');
  list.id = 'found';
  list.setAttribute('role', 'listbox');
  list.setAttribute('aria-label', 'Found');
  hits.forEach((hit, i) => {
    const item = document.createElement('li');
    item.id = 'found-' + i;
    item.setAttribute('role', 'option');
    item.setAttribute('aria-selected', 'false');
    item.dataset.url = hit.url;
    const text = document.createElement('bdi');
    text.textContent = hit.text;
    const detail = document.createElement('span');
    detail.className = 'quiet';
    detail.textContent = ' ' + hit.kind + (hit.detail ? ' · ' + hit.detail : '');
    item.append(text, detail);
    list.append(item);
  });
  box.closest('form').append(list);
  box.setAttribute('aria-expanded', 'true');
  const again = hits.findIndex((hit) => hit.url === before);
  if (before && again >= 0) choose(again);
}

if (box) {
  box.setAttribute('role', 'combobox');
  box.setAttribute('aria-autocomplete', 'list');
  box.setAttribute('aria-controls', 'found');
  box.setAttribute('aria-expanded', 'false');
  let waiting = 0;
  box.addEventListener('input', () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => search().catch(closeList), 80);
  });
  box.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown' && list) { event.preventDefault(); choose(chosen() + 1); }
    else if (event.key === 'ArrowUp' && list) { event.preventDefault(); choose(chosen() - 1); }
    else if (event.key === 'Escape') { if (list) closeList(); else box.blur(); }
  });
  box.closest('form').addEventListener('submit', (event) => {
    if (chosen() < 0) return;
    event.preventDefault();
    location.assign(list.children[chosen()].dataset.url);
  });
  box.closest('form').addEventListener('pointerdown', (event) => {
    const item = event.target.closest('[role=option]');
    if (!item) return;
    event.preventDefault();
    location.assign(item.dataset.url);
  });
  box.addEventListener('blur', () => setTimeout(closeList, 150));
}

// ---- help

async function help() {
  const open = document.getElementById('help');
  if (open) { open.close(); return; }
  const answer = await fetch('/keys');
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  const dialog = document.createElement('dialog');
  dialog.id = 'help';
  dialog.setAttribute('aria-label', 'Keys');
  dialog.append(...document.adoptNode(page.getElementById('keys')).childNodes);
  const button = document.createElement('button');
  button.textContent = 'Close';
  button.addEventListener('click', () => dialog.close());
  dialog.append(button);
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

// ---- theme and zone

const preferences = document.querySelector('.preferences');
if (preferences) {
  const zone = document.getElementById('zone'), theme = document.getElementById('theme');
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (own && ![...zone.options].some((o) => o.value === own)) {
    const option = document.createElement('option');
    option.value = own;
    option.textContent = own + ' (this browser)';
    zone.append(option);
  }
  const send = () => {
    preferences.elements.back.value = location.pathname + location.search;
    preferences.requestSubmit();
  };
  zone.addEventListener('change', send);
  theme.addEventListener('change', send);
  preferences.querySelector('button').hidden = true;
}

function switchTheme() {
  const theme = document.getElementById('theme');
  if (!theme) return;
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  theme.value = dark ? 'light' : 'dark';
  theme.dispatchEvent(new Event('change'));
}

// ---- keys

const places = { o: '/', p: '/problems', c: '/changes', i: '/inventory', f: '/capacity', v: '/views', m: '/missing' };
const periods = { d: 'day', w: 'week', m: 'month', y: 'year' };

function follow(selector, test) {
  const link = [...document.querySelectorAll(selector)].find(test);
  link?.click();
}

// step moves the focus to the next graph or line of the page.
function step(by) {
  const stops = [...document.querySelectorAll('main .card h3 > a, main .thumb h3 > a, main tbody th[scope=row] a, main .hits a, main .chips a')]
    .filter((a) => a.offsetParent !== null);
  if (stops.length === 0) return;
  const at = stops.indexOf(document.activeElement);
  const next = stops[at < 0 ? (by > 0 ? 0 : stops.length - 1) : Math.min(Math.max(at + by, 0), stops.length - 1)];
  next.focus();
  next.scrollIntoView({ block: 'center' });
}

function compare() {
  const links = [...document.querySelectorAll('.compare a')];
  const by = (href) => new URL(href).searchParams.get('compare');
  const at = links.findIndex((a) => by(a.href) === by(location.href));
  links[(at + 1) % links.length]?.click();
}

const move = (word) => follow('.moves a', (a) => a.textContent.includes(word));

function annotate() {
  const form = document.getElementById('annotate');
  if (!form) { location.assign('/changes'); return; }
  form.open = true;
  form.querySelector('[name=text]').focus();
}

const commands = {
  '/': () => { box?.focus(); box?.select(); },
  '?': () => help(),
  j: () => step(1), k: () => step(-1),
  '[': () => move('earlier'), ']': () => move('later'),
  '+': () => move('zoom in'), '=': () => move('zoom in'), '-': () => move('zoom out'), z: () => move('zoom out'),
  c: compare, a: annotate, t: switchTheme,
  r: () => document.dispatchEvent(new CustomEvent('refresh')),
};

document.addEventListener('keydown', (event) => {
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || typing(event.target)) return;
  const key = event.key;
  if (first === 'g') {
    first = '';
    if (places[key]) { event.preventDefault(); location.assign(places[key]); }
    return;
  }
  if (key === 'g') {
    first = 'g';
    setTimeout(() => { first = ''; }, 1500);
    return;
  }
  if (document.getElementById('help') && key !== '?') return;
  if (event.target.id === 'chart' && '+-='.includes(key)) return; // the chart has them itself
  if (commands[key]) {
    event.preventDefault();
    commands[key]();
  } else if (periods[key]) {
    follow('.periods a', (a) => a.textContent.trim() === periods[key]);
  }
});

// ---- kiosk

const kiosk = document.getElementById('kiosk');
if (kiosk) {
  const every = Number(kiosk.dataset.every) * 1000;
  const turn = async () => {
    if (document.hidden) return setTimeout(turn, every);
    try {
      await fetch(kiosk.dataset.next, { method: 'HEAD' }); // a wall must not show an error page while the master is started anew
      location.replace(kiosk.dataset.next);
    } catch {
      stale();
      setTimeout(turn, every);
    }
  };
  setTimeout(turn, every);
}
