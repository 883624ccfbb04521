// The live chart of the graph page. The server says what to draw and where the ticks are; this draws it with
// ECharts, lets the reader zoom by dragging, and keeps the range in the address so that the back button works.
// Without it the page shows the server's own picture and links for every move.

import { load, put } from './page.js';

const dark = matchMedia('(prefers-color-scheme: dark)');
let chart = null;
let data = null;
let asked = 0;

const holder = () => document.getElementById('chart');

// ---- numbers and times, as the server writes them

function formatValue(v, base) {
  if (v === null || v === undefined || Number.isNaN(v)) return 'unknown';
  let size = Math.abs(v), prefix = '';
  if (base && size) {
    const large = base === 1024 ? ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'] : ['', 'k', 'M', 'G', 'T', 'P', 'E'];
    const small = ['', 'm', 'µ', 'n', 'p'];
    let n = 0;
    while (size >= base * 0.9995 && n < large.length - 1) { size /= base; n++; }
    prefix = large[n];
    if (n === 0 && base !== 1024) {
      while (size < 0.9995 && n < small.length - 1) { size *= 1000; n++; }
      prefix = small[n];
    }
  }
  let text;
  if (size >= 99.95) text = size.toFixed(size < 1000 && Math.abs(size - Math.round(size)) > 0.05 ? 1 : 0);
  else if (size >= 9.995) text = size.toFixed(1);
  else if (size < 0.1 && size !== 0) text = String(Number(size.toPrecision(3)));
  else text = size.toFixed(2);
  if (text.includes('.') && !text.includes('e')) text = text.replace(/\.?0+$/, '');
  return (v < 0 && text !== '0' ? '−' : '') + text + prefix;
}

function formatTime(ms) {
  const zone = data.zones.find((z) => ms < z.until) ?? data.zones[data.zones.length - 1];
  const local = new Date(ms + zone.offset * 1000);
  const day = local.toLocaleDateString('en-GB', { timeZone: 'UTC', weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' });
  const clock = local.toISOString().slice(11, data.step < 60000 ? 19 : 16);
  return `${day} ${clock} ${zone.name}`;
}

// plain keeps a label from being read as ECharts' markup for rich text.
const plain = (text) => String(text).replace(/[{}|]/g, ' ').slice(0, 60);

function tooltip(points) {
  const lines = [formatTime(points[0].axisValue)];
  for (const p of points) {
    if (!p.seriesName || !/^c\d+$/.test(p.seriesId)) continue;
    const value = data.columns[p.seriesId][p.dataIndex];
    const mirrored = p.seriesName.endsWith('(−)');
    lines.push(`${p.marker}${plain(p.seriesName)}  ${formatValue(mirrored && value !== null ? -value : value, data.base)}`);
    if (lines.length > 24) { lines.push('…'); break; }
  }
  return lines.join('\n');
}

function tickLabel(ticks) {
  return (value) => {
    let best = '', distance = Infinity;
    for (const t of ticks) {
      const d = Math.abs(t.value - value);
      if (d < distance) { distance = d; best = t.label; }
    }
    const span = ticks.length > 1 ? Math.abs(ticks[1].value - ticks[0].value) : 1;
    return distance <= span / 100 ? best : '';
  };
}

// complete puts functions where the server wrote their names, and the data into columns.
function complete(option) {
  const functions = { '@x': tickLabel(data.x_ticks), '@y': tickLabel(data.y_ticks), '@right': tickLabel(data.right_ticks ?? []), '@tooltip': tooltip };
  const walk = (node) => {
    for (const key of Object.keys(node)) {
      if (key === 'formatter' && Object.hasOwn(functions, node[key])) node[key] = functions[node[key]];
      else if (node[key] && typeof node[key] === 'object') walk(node[key]);
    }
  };
  walk(option);
  const count = Object.values(data.columns)[0]?.length ?? 0;
  const time = Array.from({ length: count }, (_, i) => data.start + (i + 0.5) * data.step);
  option.dataset = { source: { t: time, ...data.columns } };
  return option;
}

// ---- drawing

async function draw() {
  const box = holder();
  if (!box) return;
  const turn = ++asked;
  const url = new URL(box.dataset.src, location.href);
  const size = box.getBoundingClientRect();
  url.searchParams.set('w', String(Math.min(Math.max(Math.round(size.width), 200), 4000)));
  url.searchParams.set('h', String(box.classList.contains('live') ? Math.max(Math.round(size.height), 80) : Number(box.dataset.height) || 340));
  url.searchParams.set('theme', document.documentElement.dataset.theme || (dark.matches ? 'dark' : 'light'));
  const [answer, echarts] = await Promise.all([fetch(url), import('./echarts.min.js')]);
  if (!answer.ok) throw new Error('status ' + answer.status);
  const fresh = await answer.json();
  if (turn !== asked) return; // a newer range was asked for meanwhile
  data = fresh;
  if (data.empty) return still();
  if (!chart) begin(box, echarts);
  chart.setOption(complete(data.option), { notMerge: true });
  box.dataset.drawn = String(turn);
}

function begin(box, echarts) {
  const picture = box.querySelector('img');
  box.setAttribute('role', 'img');
  box.setAttribute('aria-label', (picture?.alt ?? '') + ' Plus and minus zoom, arrow keys move, escape shows the last day.');
  box.tabIndex = 0;
  box.dataset.keep = '1';
  box.replaceChildren();
  box.classList.add('live');
  if (box.dataset.height !== '340') box.style.height = box.dataset.height + 'px'; // graph_height
  chart = echarts.init(box, null, { renderer: 'canvas' });
  selectable(box);
}

// selectable lets the reader drag across the chart: what is marked becomes the new range.
function selectable(box) {
  const mark = document.createElement('div');
  mark.className = 'selection';
  mark.hidden = true;
  box.append(mark);
  let from = null;
  const at = (event) => event.clientX - box.getBoundingClientRect().left;
  const time = (x) => {
    const value = chart.convertFromPixel({ xAxisIndex: 0 }, x);
    return Math.min(Math.max(value, data.from), data.to);
  };
  const end = () => {
    from = null;
    mark.hidden = true;
  };
  box.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || !chart) return;
    from = at(event);
    box.setPointerCapture(event.pointerId);
  });
  box.addEventListener('pointermove', (event) => {
    if (from === null) return;
    const to = at(event);
    mark.style.left = Math.min(from, to) + 'px';
    mark.style.width = Math.abs(to - from) + 'px';
    mark.hidden = Math.abs(to - from) < 4;
  });
  box.addEventListener('pointerup', (event) => {
    if (from === null) return;
    const [left, right] = [from, at(event)].sort((a, b) => a - b);
    end();
    if (right - left >= 8) zoom(time(left), time(right));
  });
  box.addEventListener('pointercancel', end);
}

// still leaves the page to the server's picture: there is nothing to draw.
function still() {
  const box = holder();
  if (chart) { // the picture that stood here is in the page that was fetched: take a new one
    chart.dispose();
    chart = null;
    const empty = box.cloneNode(false);
    empty.classList.remove('live');
    for (const name of ['role', 'aria-label', 'tabindex', 'data-keep']) empty.removeAttribute(name);
    const picture = document.createElement('img');
    picture.src = box.dataset.src.replace('.json?', '.svg?').replace('&live=1', '&bare=1') + '&w=960&h=340';
    picture.alt = 'There are no values in this time.';
    empty.append(picture);
    empty.dataset.drawn = String(asked);
    box.replaceWith(empty);
    return;
  }
  box.dataset.drawn = String(asked);
}

// ---- moving in time

// zoom shows the time between two instants in milliseconds and remembers it in the address.
function zoom(from, to) {
  const least = Math.max(data.step * 4, 60000);
  if (to - from < least) {
    const middle = (from + to) / 2;
    [from, to] = [middle - least / 2, middle + least / 2];
  }
  const url = new URL(location.href);
  url.searchParams.set('from', String(Math.max(Math.floor(from / 1000), 0)));
  url.searchParams.set('to', String(Math.ceil(to / 1000)));
  go(url.href);
}

function go(href) {
  if (href !== location.href) history.pushState(null, '', href);
  return show();
}

// show brings the page to what the address says: the new table and links, and the chart.
async function show() {
  const href = location.href;
  try {
    const fresh = await load(href);
    if (href !== location.href) return;
    put(fresh);
    hint();
    await draw();
  } catch {
    location.assign(href);
  }
}

function hint() {
  const line = document.getElementById('hint');
  if (line) line.textContent = line.dataset.text;
}

addEventListener('popstate', show);

// Links to another time of the same graph need not load the page anew.
document.addEventListener('click', (event) => {
  const link = event.target.closest?.('.bar .periods a, .moves a, .four a');
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  go(link.href);
});

document.addEventListener('keydown', (event) => {
  if (event.target !== holder() || !data || event.metaKey || event.ctrlKey || event.altKey) return;
  const span = data.to - data.from;
  const moves = {
    '+': [span / 4, -span / 4], '=': [span / 4, -span / 4], '-': [-span / 2, span / 2],
    ArrowLeft: [-span / 2, -span / 2], ArrowRight: [span / 2, span / 2],
  };
  if (event.key === 'Escape') {
    event.preventDefault();
    go(location.pathname);
  } else if (moves[event.key]) {
    event.preventDefault();
    zoom(data.from + moves[event.key][0], Math.min(data.to + moves[event.key][1], Math.max(Date.now(), data.to)));
  }
});

document.addEventListener('refreshed', () => {
  hint();
  if (holder()?.dataset.relative === 'true') draw().catch(() => {});
});
dark.addEventListener('change', () => draw().catch(() => {}));

let resizing = 0;
addEventListener('resize', () => {
  if (!chart) return;
  chart.resize();
  clearTimeout(resizing);
  resizing = setTimeout(() => draw().catch(() => {}), 150);
});

hint();
draw().catch(() => {}); // the server's picture stays
