"""The HTML page of a report; ``report.page`` fills in what stands between at signs."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;
 style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>@title@</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5em; max-width: 1200px; color: #222; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.15em 0.7em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
img.plot { display: block; max-width: 100%; margin: 1em 0; }
#stage { position: relative; overflow: hidden; cursor: ew-resize; user-select: none;
  touch-action: none; }
#stage img { position: absolute; left: 0; top: 0; image-rendering: pixelated; max-width: none; }
#divider { position: absolute; top: 0; width: 1px; background: #fff; mix-blend-mode: difference; }
#controls > * { margin-right: 0.8em; }
</style>
</head>
<body>
<h1>@title@</h1>
<p>@summary@</p>
@failures@
<h2>Means over the images</h2>
@means@
<div id="viewer">
<h2>Viewer</h2>
<p>All at the payload rate of one model, one image pixel on one screen pixel. Slide: move the
pointer. Flip: click the image or press the space bar. Codecs that cannot meet the rate are left
out.</p>
<div id="controls">
<label>image <select id="scene"></select></label>
<label>rate of <select id="rate"></select></label>
<label>left <select id="left"></select></label>
<label>right <select id="right"></select></label>
<label><input type="radio" name="mode" value="slide" checked> slide</label>
<label><input type="radio" name="mode" value="flip"> flip</label>
</div>
<p id="facts"></p>
<div id="stage"><img id="below" alt=""><img id="above" alt=""><div id="divider"></div></div>
</div>
@tables@
<h2>Single images</h2>
@singles@
<script>
"use strict";
const scenes = @scenes@;
const element = (name) => document.getElementById(name);
const state = { split: 0.5, flipped: false };

function fill(list, labels, chosen) {
  list.replaceChildren(...labels.map((label, i) => new Option(label, i, false, i === chosen)));
}

function facts(version) {
  const parts = [version.label, version.bpp.toFixed(3) + " bpp"];
  if (version.psnr !== null) parts.push(version.psnr.toFixed(2) + " dB");
  if (version.ssim !== null) parts.push("SSIM " + version.ssim.toFixed(4));
  return parts.join(", ");
}

const scene = () => scenes[element("scene").value];
const versions = () => [...scene().rates[element("rate").value].versions, scene().original];
const version = (side) => versions()[element(side).value];
const sliding = () => document.querySelector("input[name=mode]:checked").value === "slide";

function chooseScene() {
  const rate = Math.min(Number(element("rate").value), scene().rates.length - 1);
  fill(element("rate"), scene().rates.map((rate) => rate.title), rate);
  chooseRate();
}

// Both sides keep their codec where the new rate has it too.
function chooseRate() {
  const labels = versions().map((version) => version.label);
  const initial = { left: 0, right: Math.min(1, labels.length - 1) };
  for (const side of ["left", "right"]) {
    const before = labels.indexOf(element(side).selectedOptions[0]?.label);
    fill(element(side), labels, before < 0 ? initial[side] : before);
  }
  load();
}

function load() {
  const width = scene().width / window.devicePixelRatio + "px";
  const height = scene().height / window.devicePixelRatio + "px";
  for (const [name, side] of [["below", "right"], ["above", "left"]]) {
    const style = element(name).style;
    element(name).src = version(side).source;
    [style.width, style.height] = [width, height];
  }
  element("stage").style.width = width;
  element("stage").style.height = element("divider").style.height = height;
  draw();
}

function draw() {
  const width = scene().width / window.devicePixelRatio;
  const shown = sliding() ? state.split * width : (state.flipped ? 0 : width);
  element("above").style.clipPath = "inset(0 " + (width - shown) + "px 0 0)";
  element("divider").style.left = shown + "px";
  element("divider").hidden = !sliding();
  element("facts").textContent = sliding() ? facts(version("left")) + "  |  "
    + facts(version("right")) : facts(version(state.flipped ? "right" : "left"));
}

function flip() {
  if (sliding()) return;
  state.flipped = !state.flipped;
  draw();
}

if (scenes.length) {
  fill(element("scene"), scenes.map((scene) => scene.name), 0);
  element("scene").addEventListener("change", chooseScene);
  element("rate").addEventListener("change", chooseRate);
  for (const side of ["left", "right"]) element(side).addEventListener("change", load);
  for (const mode of document.querySelectorAll("input[name=mode]"))
    mode.addEventListener("change", draw);
  element("stage").addEventListener("pointermove", (event) => {
    const box = element("above").getBoundingClientRect();
    state.split = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    draw();
  });
  element("stage").addEventListener("click", flip);
  document.addEventListener("keydown", (event) => {
    // A list opens with the space bar.
    if (event.key !== " " || event.target instanceof HTMLSelectElement || sliding()) return;
    event.preventDefault();
    flip();
  });
  window.addEventListener("resize", load);
  chooseScene();
} else element("viewer").hidden = true;
</script>
</body>
</html>
"""
