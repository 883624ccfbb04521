// Pages of many pictures: all of them show the same time, so they are zoomed and hovered together. Dragging across one
// gives the page a new range, which stands in the address; the server draws the new pictures.

import { load, put } from './page.js';

const plotLeft = 44, plotRight = 10; // as the server draws small pictures

const holder = () => document.getElementById('many');
const shots = () => [...document.querySelectorAll('#many [data-live]')];
let drag = null;
let moved = false;

const span = () => ({ from: Number(holder().dataset.from), to: Number(holder().dataset.to) });

// inside gives where in the plot of a picture the pointer is, from 0 to 1. The picture may be shown smaller than it is.
function inside(shot, x) {
  const img = shot.querySelector('img');
  const box = img.getBoundingClientRect();
  const scale = box.width / Number(img.getAttribute('width'));
  const left = box.left + plotLeft * scale, right = box.right - plotRight * scale;
  return { share: Math.min(Math.max((x - left) / (right - left), 0), 1), left, right, box };
}

function line(shot, name) {
  let mark = shot.querySelector('.' + name);
  if (!mark) {
    mark = document.createElement('span');
    mark.className = name;
    shot.append(mark);
  }
  return mark;
}

// hover puts a line at the same time on every picture, and the time beside the one under the pointer.
function hover(shot, x) {
  const { share } = inside(shot, x);
  const { from, to } = span();
  const at = new Date(from + share * (to - from));
  for (const other of shots()) {
    const img = other.querySelector('img');
    const box = img.getBoundingClientRect();
    if (box.bottom < 0 || box.top > innerHeight) continue;
    const own = inside(other, 0);
    const mark = line(other, 'cursor');
    mark.style.left = own.left - other.getBoundingClientRect().left + share * (own.right - own.left) + 'px';
    mark.hidden = false;
    mark.textContent = other === shot ? clock(at, to - from) : '';
  }
}

function clock(at, length) {
  const zone = document.documentElement.dataset.zone || undefined;
  const options = length > 3 * 86400e3
    ? { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' }
    : { weekday: 'short', hour: '2-digit', minute: '2-digit' };
  try {
    return at.toLocaleString('en-GB', { ...options, timeZone: zone });
  } catch {
    return at.toLocaleString('en-GB', options);
  }
}

function leave() {
  for (const mark of document.querySelectorAll('#many .cursor')) mark.hidden = true;
}

document.addEventListener('pointermove', (event) => {
  const shot = event.target.closest?.('#many [data-live]');
  if (drag) {
    select(event.clientX);
    return;
  }
  if (shot && event.pointerType === 'mouse') hover(shot, event.clientX);
  else leave();
});

document.addEventListener('pointerdown', (event) => {
  const shot = event.target.closest?.('#many [data-live]');
  if (!shot || event.button !== 0 || event.pointerType !== 'mouse') return;
  drag = { shot, x: event.clientX, start: inside(shot, event.clientX).share };
  moved = false;
});

function select(x) {
  const { left, right } = inside(drag.shot, x);
  const base = drag.shot.getBoundingClientRect().left;
  const from = Math.min(drag.x, x), to = Math.max(drag.x, x);
  if (to - from < 5) return;
  moved = true;
  const mark = line(drag.shot, 'selected');
  mark.hidden = false;
  mark.style.left = Math.max(from, left) - base + 'px';
  mark.style.width = Math.min(to, right) - Math.max(from, left) + 'px';
}

document.addEventListener('pointerup', (event) => {
  if (!drag) return;
  const { shot, start } = drag;
  const end = inside(shot, event.clientX).share;
  drag = null;
  shot.querySelector('.selected')?.remove();
  if (!moved || Math.abs(end - start) < 0.01) return;
  const { from, to } = span();
  const at = (share) => String(Math.round((from + share * (to - from)) / 1000));
  const url = new URL(location.href);
  url.searchParams.set('from', at(Math.min(start, end)));
  url.searchParams.set('to', at(Math.max(start, end)));
  url.hash = '';
  go(url.href);
});

// A drag is no click on the link that the picture is, and does not carry the picture away.
document.addEventListener('click', (event) => {
  if (moved && event.target.closest?.('#many [data-live]')) event.preventDefault();
  moved = false;
}, true);
document.addEventListener('dragstart', (event) => {
  if (event.target.closest?.('#many [data-live]')) event.preventDefault();
});

async function go(href) {
  if (document.getElementById('chart')) { // the graph page moves its chart, and the pictures with it
    location.assign(href);
    return;
  }
  history.pushState(null, '', href);
  await show();
}

async function show() {
  const href = location.href;
  try {
    const fresh = await load(href);
    if (href !== location.href) return;
    put(fresh);
    hint();
    document.dispatchEvent(new CustomEvent('moved'));
  } catch {
    location.assign(href);
  }
}

// The links to other times need not load the page anew.
document.addEventListener('click', (event) => {
  const link = event.target.closest?.('.bar .periods a');
  if (!link || document.getElementById('chart') || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  go(link.href);
});

addEventListener('popstate', () => {
  if (!document.getElementById('chart')) show();
});

document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !document.getElementById('chart') && new URL(location.href).searchParams.has('from') && !event.target.closest('input, select, textarea, dialog')) {
    const url = new URL(location.href);
    url.searchParams.delete('from');
    url.searchParams.delete('to');
    go(url.href);
  }
});

function hint() {
  for (const h of document.querySelectorAll('[data-hint]')) h.textContent = shots().length ? h.dataset.hint : '';
}
document.addEventListener('refreshed', hint);
hint();
