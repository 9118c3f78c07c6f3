"""The HTML page of a report; ``report.page`` fills in what stands between at signs."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>@title@</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5em; max-width: 1200px; color: #222; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.15em 0.7em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
img.plot { display: block; max-width: 100%; margin: 1em 0; }
#stage { position: relative; overflow: auto; cursor: ew-resize; user-select: none; }
#stage img { position: absolute; left: 0; top: 0; image-rendering: pixelated; max-width: none; }
#divider { position: absolute; top: 0; width: 1px; background: #fff; mix-blend-mode: difference; }
#controls > * { margin-right: 0.8em; }
</style>
</head>
<body>
<h1>@title@</h1>
<p>@summary@</p>
@failures@
<h2>Viewer</h2>
<p>At equal payload rates, one image pixel on one screen pixel. Slide: move the pointer. Flip: click
or press the space bar.</p>
<div id="controls">
<label>image <select id="scene"></select></label>
<label>left <select id="left"></select></label>
<label>right <select id="right"></select></label>
<label><input type="radio" name="mode" value="slide" checked> slide</label>
<label><input type="radio" name="mode" value="flip"> flip</label>
</div>
<p id="facts"></p>
<div id="stage"><img id="below" alt=""><img id="above" alt=""><div id="divider"></div></div>
@tables@
<h2>Plots</h2>
@plots@
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

function chosen() {
  const scene = scenes[element("scene").value];
  return [scene, scene.versions[element("left").value], scene.versions[element("right").value]];
}

function load() {
  const [scene, left, right] = chosen();
  const scale = 1 / window.devicePixelRatio;
  const width = scene.width * scale, height = scene.height * scale;
  for (const [name, version] of [["below", right], ["above", left]]) {
    element(name).src = version.source;
    element(name).style.width = width + "px";
    element(name).style.height = height + "px";
  }
  element("stage").style.height = element("divider").style.height = height + "px";
  draw();
}

function draw() {
  const [scene, left, right] = chosen();
  const width = scene.width / window.devicePixelRatio;
  const slide = document.querySelector("input[name=mode]:checked").value === "slide";
  const shown = slide ? state.split * width : (state.flipped ? 0 : width);
  element("above").style.clipPath = "inset(0 " + (width - shown) + "px 0 0)";
  element("divider").style.left = shown + "px";
  element("divider").hidden = !slide;
  element("facts").textContent = slide ? facts(left) + "  |  " + facts(right)
    : facts(state.flipped ? right : left);
}

function flip() { state.flipped = !state.flipped; draw(); }

function choose() {
  const labels = scenes[element("scene").value].versions.map((version) => version.label);
  fill(element("left"), labels, Math.min(1, labels.length - 1));
  fill(element("right"), labels, labels.length - 1);
  load();
}

if (scenes.length) {
  fill(element("scene"), scenes.map((scene) => scene.name), 0);
  element("scene").addEventListener("change", choose);
  for (const name of ["left", "right"]) element(name).addEventListener("change", load);
  for (const mode of document.querySelectorAll("input[name=mode]"))
    mode.addEventListener("change", draw);
  element("stage").addEventListener("pointermove", (event) => {
    const box = element("above").getBoundingClientRect();
    state.split = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    draw();
  });
  element("stage").addEventListener("click", flip);
  document.addEventListener("keydown", (event) => {
    if (event.key === " ") { event.preventDefault(); flip(); }
  });
  window.addEventListener("resize", load);
  choose();
}
</script>
</body>
</html>
"""
