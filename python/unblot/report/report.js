// The report's own script: threshold, counts, filters, one image at a time. Inlined by html.py; it loads nothing.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const { scores, labels, kinds, names, pictures } = data;
  const calibrated = data.threshold;
  const text = { passed: "passed", "false-alarm": "false alarm", missed: "missed", found: "found" };

  // Where the threshold changes anything: at each score, below all of them, and where it was calibrated.
  const sorted = [...new Set([...scores, calibrated])].sort((a, b) => a - b);
  const span = sorted[sorted.length - 1] - sorted[0];
  const stops = [sorted[0] - (span || 1) * 0.01, ...sorted];
  let threshold = calibrated;

  const verdict = (i) => (scores[i] > threshold ? (labels[i] ? "found" : "false-alarm") : labels[i] ? "missed" : "passed");
  const figure = (value, of) => (of ? (value / of).toFixed(3) : "–");

  function stopBelow(value) {
    let low = 0, high = stops.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (stops[middle] <= value) low = middle; else high = middle - 1;
    }
    return low;
  }

  // --- marks on the plots: each is drawn at the calibrated threshold and moved from there

  function scale(name, axis) {
    const plot = $(`${name}-plot`);
    if (!plot) return null;
    const box = $(`${name}-area`).getBBox();
    const [low, high] = plot.dataset[axis].split(" ").map(Number);
    return axis === "x"
      ? { to: (v) => box.x + ((v - low) / (high - low)) * box.width, from: (p) => low + ((p - box.x) / box.width) * (high - low) }
      : { to: (v) => box.y + box.height - ((v - low) / (high - low)) * box.height };
  }

  function move(name, from, to) {
    const mark = $(`${name}-mark`), x = scale(name, "x"), y = scale(name, "y");
    if (!mark || to.some((v) => !Number.isFinite(v)) || from.some((v) => !Number.isFinite(v))) return;
    mark.setAttribute("transform", `translate(${x.to(to[0]) - x.to(from[0])} ${y.to(to[1]) - y.to(from[1])})`);
  }

  // --- counts

  function countAt(value) {
    const c = { tn: 0, fp: 0, fn: 0, tp: 0 };
    scores.forEach((score, i) => { c[score > value ? (labels[i] ? "tp" : "fp") : labels[i] ? "fn" : "tn"] += 1; });
    return c;
  }

  const places = (c) => ({ roc: [c.fp / (c.fp + c.tn), c.tp / (c.tp + c.fn)], pr: [c.tp / (c.tp + c.fn), c.tp / (c.tp + c.fp)] });
  const home = places(countAt(calibrated));

  function show() {
    const c = countAt(threshold), called = c.tp + c.fp, both = c.tp + c.fn && c.tn + c.fp;
    for (const [id, n] of Object.entries(c)) $(id).textContent = n;
    $("precision").textContent = both ? figure(c.tp, called) : "–";
    $("recall").textContent = figure(c.tp, c.tp + c.fn);
    $("f1").textContent = both ? figure(2 * c.tp, 2 * c.tp + c.fp + c.fn) : "–";
    $("alarms").textContent = figure(c.fp, c.fp + c.tn);
    $("called").textContent = `${called} of ${scores.length}`;
    $("looked").hidden = threshold === calibrated;
    const at = stopBelow(threshold);
    $("threshold").value = at;
    $("threshold").setAttribute("aria-valuetext", `${threshold.toPrecision(4)}, ${called} of ${scores.length} called abnormal`);
    if (document.activeElement !== $("exact") || Number($("exact").value) !== threshold) $("exact").value = threshold;
    names.forEach((_, kind) => {
      let flagged = 0, all = 0;
      scores.forEach((score, i) => { if (kinds[i] === kind) { all += 1; flagged += score > threshold; } });
      document.querySelector(`[data-flagged="${kind}"]`).textContent = flagged;
      document.querySelector(`[data-share="${kind}"]`).textContent = `${((100 * flagged) / all).toFixed(1)} %`;
    });
    move("histogram", [calibrated, 0], [threshold, 0]);
    for (const [name, to] of Object.entries(places(c))) move(name, home[name], to);
    filter();
  }

  function choose(value) {
    if (!Number.isFinite(value)) return;
    threshold = value;
    show();
  }

  // --- the grid

  const grid = $("grid");
  const tiles = [...grid.querySelectorAll(".tile")].map((element) => ({ element, i: Number(element.dataset.at) }));
  let visible = [];

  function filter() {
    const kind = $("kind").value, wanted = $("verdict").value, order = $("order").value;
    const key = { high: (i) => -scores[i], low: (i) => scores[i], near: (i) => Math.abs(scores[i] - threshold) }[order];
    const ordered = order === "high" ? tiles : [...tiles].sort((a, b) => key(a.i) - key(b.i));
    const fits = (i) => (kind === "" || kinds[i] === Number(kind)) && (wanted === "" || verdict(i) === wanted);
    visible = ordered.filter((tile) => fits(tile.i));
    const shown = new Set(visible);
    if (order !== grid.dataset.order || order === "near") grid.append(...ordered.map((tile) => tile.element));
    grid.dataset.order = order;
    for (const tile of tiles) {
      tile.element.hidden = !shown.has(tile);
      tile.element.className = `tile ${verdict(tile.i)}`;
      tile.element.tabIndex = -1;
    }
    if (visible.length) visible[0].element.tabIndex = 0; // one stop of the Tab key; arrows go on from there
    const matching = scores.reduce((n, _, i) => n + fits(i), 0);
    $("matching").textContent = matching === visible.length
      ? `${matching} ${matching === 1 ? "image" : "images"}`
      : `${matching} images, ${visible.length} of them shown`;
    for (const cell of document.querySelectorAll("#confusion button"))
      cell.setAttribute("aria-pressed", String(cell.dataset.verdict === wanted));
  }

  function columns() {
    const top = visible[0].element.offsetTop;
    const next = visible.findIndex((tile) => tile.element.offsetTop !== top);
    return next < 0 ? visible.length : next;
  }

  grid.addEventListener("keydown", (event) => {
    const at = visible.findIndex((tile) => tile.element === document.activeElement);
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: at < 0 ? 0 : columns(), ArrowUp: at < 0 ? 0 : -columns(), Home: -at, End: visible.length - 1 - at }[event.key];
    if (at < 0 || step === undefined) return;
    event.preventDefault();
    const target = visible[Math.min(visible.length - 1, Math.max(0, at + step))].element;
    for (const tile of visible) tile.element.tabIndex = -1;
    target.tabIndex = 0;
    target.focus();
  });

  // --- one image

  const viewer = $("viewer");
  let open = 0;

  function view(at) {
    open = (at + visible.length) % visible.length;
    const { element, i } = visible[open];
    $("viewer-name").textContent = element.title;
    $("viewer-text").textContent = `${names[kinds[i]].truth}: ${names[kinds[i]].kind} · score ${scores[i].toPrecision(6)}, threshold `
      + `${threshold.toPrecision(6)} · ${text[verdict(i)]}`;
    $("viewer-at").textContent = `${open + 1} of ${visible.length}`;
    const strip = [["original", element.querySelector("img").src], ...pictures[i]];
    $("pictures").replaceChildren(...strip.map(([label, uri]) => {
      const part = document.createElement("figure"), image = document.createElement("img"), caption = document.createElement("figcaption");
      image.src = uri;
      image.alt = label;
      caption.textContent = label;
      part.append(image, caption);
      return part;
    }));
    if (!viewer.open) viewer.showModal();
  }

  grid.addEventListener("click", (event) => {
    const at = visible.findIndex((tile) => tile.element === event.target.closest(".tile"));
    if (at >= 0) view(at);
  });
  viewer.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) { event.preventDefault(); view(open + step); }
  });
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("close", () => visible[open]?.element.focus());
  $("previous").addEventListener("click", () => view(open - 1));
  $("next").addEventListener("click", () => view(open + 1));
  $("close").addEventListener("click", () => viewer.close());

  // --- controls

  $("threshold").max = stops.length - 1;
  $("threshold").addEventListener("input", (event) => choose(stops[Number(event.target.value)]));
  $("exact").addEventListener("change", (event) => choose(event.target.value === "" ? NaN : Number(event.target.value)));
  $("reset").addEventListener("click", () => choose(calibrated));
  for (const id of ["kind", "verdict", "order"]) $(id).addEventListener("change", filter);
  for (const cell of document.querySelectorAll("#confusion button"))
    cell.addEventListener("click", () => {
      $("verdict").value = $("verdict").value === cell.dataset.verdict ? "" : cell.dataset.verdict;
      filter();
    });
  $("histogram-plot").addEventListener("pointerdown", (event) => {
    const plot = event.currentTarget;
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
    choose(Math.min(stops[stops.length - 1], Math.max(stops[0], scale("histogram", "x").from(point.x))));
  });

  const themes = ["system", "light", "dark"];
  $("theme").addEventListener("click", () => {
    const next = themes[(themes.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % themes.length];
    if (next === "system") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = next;
    $("theme").textContent = `◐ ${next}`;
    $("theme").setAttribute("aria-label", `Colours: ${next === "system" ? "as the system has them" : next}`);
  });

  show();
})();
