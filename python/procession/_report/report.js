"use strict";
// The timeline of a report: one canvas, never larger than the window, drawn again on each zoom. The data are in a JSON element.
const D = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const canvas = $("timeline"), g = canvas.getContext("2d"), tip = $("tip");
const OUTCOMES = ["returned", "raised", "its worker died", "not finished"];
const COLOURS = 6, LEFT = 84, TOP = 84, GAP = 26, AXIS = 20;
const FONT = "11.5px system-ui, 'DejaVu Sans', sans-serif";

// Lanes of rows, of which the file has the differences: see `page.py`.
const lanes = D.rows.map((flat) => {
  const rows = [];
  let end = 0, next = 0;
  for (let i = 0; i < flat.length; i += 9) {
    const [gap, span, job, first, count, outcome, cpu, line, bytes] = flat.slice(i, i + 9);
    const row = { start: end + gap, span, job, first: next + first, count, outcome, cpu, line, bytes };
    end = row.start + span;
    next = row.first + count;
    row.fn = D.jobs[job][0];
    rows.push(row);
  }
  return rows;
});
// The highest lane that keeps 256 workers on a screen, and names readable where there are few.
const laneHeight = Math.max(3, Math.min(34, Math.floor(460 / Math.max(1, lanes.length))));
const pad = laneHeight > 14 ? 5 : laneHeight > 5 ? 1 : 0;
let from = 0, to = D.end, mode = "fn", hot = null, drag = null, width = 0, height = 0;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const x = (time) => LEFT + ((time - from) / (to - from)) * (width - LEFT - 4);
const timeAt = (px) => from + ((px - LEFT) / (width - LEFT - 4)) * (to - from);
const spanOf = (us) =>
  us >= 1e6 ? (us / 1e6).toFixed(us < 1e7 ? 2 : 1) + " s" :
  us >= 1e3 ? (us / 1e3).toFixed(us < 1e4 ? 1 : 0) + " ms" : us.toFixed(us < 10 ? 1 : 0) + " µs";
const sizeOf = (n) =>
  n >= 1048576 ? (n / 1048576).toFixed(1) + " MiB" : n >= 1024 ? (n / 1024).toFixed(0) + " KiB" : n + " B";
const titleOf = (row) => D.fn[row.fn] + (row.count > 1 ? ` ×${row.count}` : `[${row.first}]`);
// A row's shares: on a CPU, in line for one, waiting for something else; those that are not known count as on a CPU.
function shares(row) {
  if (row.cpu < 0) return [1, 0, 0];
  const cpu = Math.min(1, row.cpu / 100), line = Math.min(1 - cpu, row.line / 100);
  return [cpu, line, 1 - cpu - line];
}
// The first row of a lane that ends at `time` or later.
function firstAt(rows, time) {
  let low = 0, high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].start + rows[middle].span < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

function keys() {
  const place = $("keys");
  place.replaceChildren();
  const add = (name, text) => {
    const key = document.createElement("span"), dot = document.createElement("b");
    key.className = "key";
    dot.className = "dot " + name;
    key.append(dot, text);
    place.append(key);
  };
  if (mode === "cpu") {
    add("run", "on a CPU");
    add("line", "in line for a CPU");
    add("wait", "waiting for something else");
  } else {
    D.fn.slice(0, 8).forEach((name, i) => add("c" + (i % COLOURS), name.length > 28 ? name.slice(0, 27) + "…" : name));
    if (D.fn.length > 8) add("none", `and ${D.fn.length - 8} more`);
  }
  if (lanes.some((rows) => rows.some((row) => row.outcome === 1 || row.outcome === 2))) add("bad", "failed");
  if (D.lives.some((life) => life[2] > life[1])) add("born", "starting");
}

// How many workers are busy with what, in `count` parts of what is shown.
function busyIn(count) {
  const parts = mode === "cpu" ? 3 : D.fn.length, step = (to - from) / count;
  const sums = Array.from({ length: count }, () => new Float64Array(parts));
  for (const rows of lanes) {
    for (let k = firstAt(rows, from); k < rows.length && rows[k].start < to; k++) {
      const row = rows[k], end = row.start + row.span, share = shares(row);
      const last = Math.min(count - 1, Math.floor((end - from) / step));
      for (let i = Math.max(0, Math.floor((row.start - from) / step)); i <= last; i++) {
        const over = Math.min(end, from + (i + 1) * step) - Math.max(row.start, from + i * step);
        if (over <= 0) continue;
        if (mode === "cpu") share.forEach((part, p) => (sums[i][p] += (over / step) * part));
        else sums[i][row.fn] += over / step;
      }
    }
  }
  return sums;
}

// Memory of all lanes together, at each time at which one was looked at.
function memoryTogether() {
  const times = [...new Set(D.mem.flatMap((points) => points.map((point) => point[0])))].sort((a, b) => a - b);
  const at = D.mem.map(() => 0), now = D.mem.map(() => 0);
  return times.map((time) => {
    D.mem.forEach((points, i) => {
      while (at[i] < points.length && points[at[i]][0] <= time) now[i] = points[at[i]++][1];
    });
    return [time, now.reduce((sum, size) => sum + size, 0)];
  });
}

function curve(points, y0, h, most, style, fill) {
  if (!points.length) return;
  g.beginPath();
  points.forEach(([time, value], k) => g[k ? "lineTo" : "moveTo"](x(time), y0 + h - (value / most) * h));
  g.strokeStyle = style;
  g.lineWidth = 1.3;
  g.stroke();
  if (!fill) return;
  g.lineTo(x(points[points.length - 1][0]), y0 + h);
  g.lineTo(x(points[0][0]), y0 + h);
  g.globalAlpha = 0.15;
  g.fillStyle = style;
  g.fill();
  g.globalAlpha = 1;
}

function drawTop(C, colours) {
  const h = TOP - 10;
  g.fillStyle = C.lane;
  g.fillRect(LEFT, 6, width - LEFT - 4, h);
  if (mode === "mem") {
    const points = memoryTogether(), most = Math.max(1, ...points.map((point) => point[1])) * 1.12;
    curve(points, 6, h, most, C.ink, true);
    return Math.round(most) + " MiB";
  }
  const count = Math.max(1, Math.floor((width - LEFT) / 3)), step = (width - LEFT - 4) / count;
  const used = mode === "cpu" ? [C.run, C.line, C.wait] : colours;
  busyIn(count).forEach((sums, k) => {
    let y = 6 + h;
    sums.forEach((value, i) => {
      if (!value) return;
      const part = (value / Math.max(1, lanes.length)) * h;
      g.fillStyle = used[i % used.length];
      g.fillRect(LEFT + k * step, y - part, step + 0.4, part);
      y -= part;
    });
  });
  return String(lanes.length);
}

function drawJobs(C) {
  let free = -1e9;
  for (const [fn, start, end] of D.jobs) {
    const left = x(start), text = D.fn[fn], room = g.measureText(text).width, at = Math.max(LEFT + 2, left + 3);
    if (left >= LEFT) {
      g.fillStyle = C.hair;
      g.fillRect(left, 4, 1, height - AXIS - 4);
    }
    if (x(end) - at > room * 0.8 && at > free && at < width) {
      g.fillStyle = C.mut;
      g.fillText(text, at, TOP + 12);
      free = at + room + 6;
    }
  }
}

// Lines at round times; what to write below them.
function drawAxis(C) {
  const raw = (to - from) / 9, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((m) => m * power >= raw) * power, labels = [];
  for (let time = Math.ceil(from / step) * step; time <= to; time += step) {
    g.fillStyle = C.hair;
    g.fillRect(x(time), TOP + GAP, 1, lanes.length * laneHeight + 3);
    labels.push([step >= 1e3 ? +(time / 1e6).toFixed(3) + " s" : +(time / 1e3).toFixed(3) + " ms", x(time)]);
  }
  return labels;
}

function drawRow(row, y, h, C, colours) {
  const left = x(row.start), w = x(row.start + row.span) - left;
  if (mode === "cpu") {
    let bottom = y + h;
    shares(row).forEach((part, i) => {
      g.fillStyle = [C.run, C.line, C.wait][i];
      g.fillRect(left, bottom - part * h, Math.max(w - 0.5, 0.8), part * h);
      bottom -= part * h;
    });
  } else {
    g.globalAlpha = mode === "mem" ? 0.28 : row.outcome === 3 ? 0.5 : 1;
    g.fillStyle = colours[row.fn % COLOURS];
    g.fillRect(left, y, Math.max(w - (w > 3 ? 0.8 : 0), 0.8), h);
    g.globalAlpha = 1;
  }
  if (row.outcome === 1 || row.outcome === 2) drawFailure(row, left, w, y, h, C, colours);
  else if (w > 54 && h > 14 && mode !== "mem" && g.measureText(titleOf(row)).width < w - 8) {
    g.fillStyle = "#ffffffe6";
    g.fillText(titleOf(row), Math.max(left, LEFT) + 4, y + h / 2 + 0.5);
  }
  if (hot === row) {
    g.strokeStyle = C.ink;
    g.lineWidth = 1.6;
    g.strokeRect(left + 0.5, y + 0.5, Math.max(w - 1.5, 2), h - 1);
  }
}

function drawFailure(row, left, w, y, h, C, colours) {
  g.fillStyle = C.bad;
  g.fillRect(left, y, Math.max(w - 0.5, 2), h);
  if (h > 8) {
    g.fillStyle = colours[row.fn % COLOURS];
    g.fillRect(left, y + h - 4, Math.max(w - 0.5, 2), 4);
  }
  if (w > 12 && h > 10) {
    g.fillStyle = "#fff";
    g.fillText(row.outcome === 2 ? "†" : "✗", left + w / 2 - 4, y + h / 2 - 1);
  } else {
    g.fillStyle = C.bad;
    g.beginPath();
    g.moveTo(left - 4, y - 4);
    g.lineTo(left + 5, y - 4);
    g.lineTo(left + 0.5, y + 2);
    g.fill();
  }
}

function drawLane(rows, i, C, colours, most) {
  const y = TOP + GAP + i * laneHeight + pad / 2, h = laneHeight - pad;
  g.fillStyle = C.lane;
  g.fillRect(LEFT, y, width - LEFT - 4, h);
  for (const [lane, started, ready] of D.lives) {
    if (lane !== i || ready <= started) continue;
    g.fillStyle = C.born;
    g.fillRect(x(started), y, Math.max(1, x(ready) - x(started)), h);
  }
  let taken = -1;
  for (let k = firstAt(rows, from); k < rows.length && rows[k].start <= to; k++) {
    const left = x(rows[k].start);
    // Of those within one pixel the first is drawn, and what failed.
    if ((rows[k].span / (to - from)) * width < 0.8 && Math.floor(left) === taken && !rows[k].outcome) continue;
    taken = Math.floor(left);
    drawRow(rows[k], y, h, C, colours);
  }
  if (mode === "mem") curve(D.mem[i], y, h, most, C.ink, false);
  for (const [lane, , , died] of D.lives) {
    if (lane !== i || died < 0) continue;
    g.fillStyle = C.bad;
    g.fillRect(x(died) - 1, y - 1, 2, h + 2);
  }
}

function draw() {
  const ratio = devicePixelRatio || 1;
  width = canvas.clientWidth;
  height = TOP + GAP + lanes.length * laneHeight + AXIS;
  canvas.style.height = height + "px";
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, height);
  const colours = Array.from({ length: COLOURS }, (_, i) => colour("c" + i)), C = {};
  for (const name of ["bad", "run", "line", "wait", "born", "hair", "lane", "mut", "ink"]) C[name] = colour(name);
  g.font = FONT;
  g.textBaseline = "middle";
  g.save();
  g.beginPath();
  g.rect(LEFT, 0, width - LEFT - 4, height);
  g.clip();
  const most = drawTop(C, colours);
  drawJobs(C);
  const labels = drawAxis(C);
  const mostOfOne = Math.max(1, ...D.mem.flat().map((point) => point[1])) * 1.1;
  lanes.forEach((rows, i) => drawLane(rows, i, C, colours, mostOfOne));
  g.restore();
  g.fillStyle = C.mut;
  for (const [text, px] of labels) {
    const w = g.measureText(text).width;
    if (px >= LEFT - 1) g.fillText(text, Math.min(px - w / 2, width - w - 6), height - 8);
  }
  g.fillText(mode === "mem" ? "memory" : "busy", 4, TOP / 2 + 2);
  g.fillText(most, LEFT - g.measureText(most).width - 6, 13);
  g.fillText("0", LEFT - 13, TOP - 9);
  const every = Math.ceil(12 / laneHeight);
  D.lanes.forEach((name, i) => {
    if (i % every === 0) g.fillText(name, 4, TOP + GAP + i * laneHeight + laneHeight / 2, LEFT - 10);
  });
  if (drag && drag[1] !== null) {
    g.fillStyle = C.ink;
    g.globalAlpha = 0.12;
    g.fillRect(Math.min(...drag), 0, Math.abs(drag[1] - drag[0]), height - AXIS);
    g.globalAlpha = 1;
  }
  const shown = `Shown: ${(from / 1e6).toFixed(3)} s to ${(to / 1e6).toFixed(3)} s.`;
  $("range").textContent = from > 0 || to < D.end ? shown : "";
}

// The row below the pointer, or the nearest within two pixels.
function rowAt(event) {
  const box = canvas.getBoundingClientRect(), px = event.clientX - box.left;
  const i = Math.floor((event.clientY - box.top - TOP - GAP) / laneHeight);
  if (i < 0 || i >= lanes.length || px < LEFT) return null;
  const time = timeAt(px), slack = ((to - from) / (width - LEFT)) * 2;
  const away = (row) => Math.max(row.start - time, time - row.start - row.span, 0);
  let best = null;
  for (let k = firstAt(lanes[i], time - slack); k < lanes[i].length && lanes[i][k].start <= time + slack; k++) {
    if (!best || away(lanes[i][k]) < away(best)) best = lanes[i][k];
  }
  return best;
}

function say(row, event) {
  tip.style.opacity = row ? 1 : 0;
  if (!row) return;
  tip.replaceChildren();
  const add = (text, tag = "div") => {
    const line = document.createElement(tag);
    line.textContent = text;
    tip.append(line);
  };
  const lane = lanes.findIndex((rows) => rows.includes(row));
  add(D.fn[row.fn] + (row.count > 1 ? `, ${row.count} tasks from ${row.first} on` : `[${row.first}]`), "b");
  add(`${spanOf(row.span)} on ${D.lanes[lane]}, from ${(row.start / 1e6).toFixed(3)} s`);
  if (row.count > 1) add(`${spanOf(row.span / row.count)} a task`);
  if (row.cpu >= 0) add(`on a CPU ${row.cpu} %, in line for one ${row.line} %`);
  if (row.outcome === 0) add(`result${row.count > 1 ? "s" : ""} ${sizeOf(row.bytes)}`);
  else add(OUTCOMES[row.outcome]);
  tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)) + "px";
  tip.style.top = event.clientY + 16 + "px";
}

function show(start, end) {
  const least = Math.max(D.end * 1e-6, 1);
  from = Math.max(0, Math.min(start, D.end - least));
  to = Math.min(D.end, Math.max(end, from + least));
  draw();
}
function whole() {
  show(0, D.end);
}

canvas.onpointermove = (event) => {
  if (drag) {
    drag[1] = event.clientX - canvas.getBoundingClientRect().left;
    return draw();
  }
  const row = rowAt(event);
  if (row !== hot) {
    hot = row;
    draw();
  }
  say(row, event);
};
canvas.onpointerleave = () => {
  hot = null;
  say(null);
  draw();
};
canvas.onpointerdown = (event) => {
  drag = [event.clientX - canvas.getBoundingClientRect().left, null];
  canvas.setPointerCapture(event.pointerId);
};
canvas.onpointerup = () => {
  const ends = drag;
  drag = null;
  if (ends && ends[1] !== null && Math.abs(ends[1] - ends[0]) > 4) {
    show(timeAt(Math.min(...ends)), timeAt(Math.max(...ends)));
  } else draw();
};
canvas.ondblclick = $("reset").onclick = whole;
canvas.onwheel = (event) => {
  if (!event.ctrlKey) return; // it scrolls the page
  event.preventDefault();
  const time = timeAt(event.clientX - canvas.getBoundingClientRect().left), factor = Math.exp(event.deltaY * 0.002);
  show(time - (time - from) * factor, time + (to - time) * factor);
};
canvas.onkeydown = (event) => {
  const moves = { ArrowLeft: [-0.2, -0.2], ArrowRight: [0.2, 0.2], "+": [0.2, -0.2], "-": [-0.3, 0.3] };
  const move = moves[event.key], w = to - from;
  if (!move) return;
  event.preventDefault();
  let step = move[0] * w;
  // A move stops at the ends of the run, and does not zoom there.
  if (move[0] === move[1]) step = Math.max(-from, Math.min(D.end - to, step));
  show(from + step, move[0] === move[1] ? to + step : to + move[1] * w);
};
for (const place of document.querySelectorAll("[data-from]")) {
  const choose = () => {
    const start = +place.dataset.from, end = +place.dataset.to, more = (end - start) * 0.15 + 20;
    show(start - more, end + more);
    canvas.scrollIntoView({ block: "center", behavior: "smooth" });
  };
  place.onclick = choose;
  place.onkeydown = (event) => {
    if (event.key === "Enter") choose();
  };
}
for (const button of document.querySelectorAll("[data-mode]")) {
  button.onclick = () => {
    mode = button.dataset.mode;
    for (const other of document.querySelectorAll("[data-mode]")) other.setAttribute("aria-pressed", other === button);
    keys();
    draw();
  };
}
$("trace").onclick = () => {
  const events = [{ ph: "M", pid: 1, tid: 100, name: "process_name", args: { name: document.title } }];
  lanes.forEach((rows, i) => {
    events.push({ ph: "M", pid: 1, tid: 100 + i, name: "thread_name", args: { name: D.lanes[i] } });
    for (const row of rows) {
      const args = { first: row.first, count: row.count, outcome: OUTCOMES[row.outcome] };
      const name = D.fn[row.fn] + (row.outcome ? ` (${OUTCOMES[row.outcome]})` : "");
      events.push({ ph: "X", pid: 1, tid: 100 + i, ts: row.start, dur: row.span, name, cat: OUTCOMES[row.outcome], args });
    }
  });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify({ traceEvents: events })], { type: "application/json" }));
  link.download = "trace.json";
  link.click();
};
keys();
draw();
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").onchange = draw;
