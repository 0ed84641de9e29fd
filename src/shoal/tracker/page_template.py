"""The frame of the tracker's page: what never changes. `page.py` fills in the rest, escaped."""

from __future__ import annotations

from string import Template

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #f4f6f8; --card: #ffffff; --text: #17212b; --soft: #5b6b7a; --line: #dfe5ea;
  --accent: #0b6e99; --fill: #0b6e9922; --good: #1a7f4b; --bad: #b42318; --code: #eef2f5;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0e141a; --card: #161f28; --text: #e4ebf1; --soft: #93a4b3; --line: #25323e;
    --accent: #55bce8; --fill: #55bce826; --good: #4ccb8a; --bad: #ff8a80; --code: #1e2a35;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1rem; margin-bottom: 1.25rem; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.05rem; margin: 0; }
.state { color: var(--soft); font-size: .9rem; }
.state b { color: var(--good); font-weight: 600; }
.state b.bad { color: var(--bad); }
section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; margin-top: 1rem; }
.pad { padding: 1rem 1.25rem; }
dl.figures { display: grid; grid-template-columns: repeat(4, 1fr); margin: 0; }
dl.figures div { padding: 1rem 1.25rem; border-left: 1px solid var(--line); min-width: 0; }
dl.figures div:first-child { border-left: 0; }
dt { color: var(--soft); font-size: .85rem; }
dd { margin: 0; font-size: 1.7rem; line-height: 1.25; font-weight: 600; font-variant-numeric: tabular-nums; }
figure { margin: 0; border-top: 1px solid var(--line); padding: .9rem 1.25rem 1rem; }
figcaption { display: flex; justify-content: space-between; gap: 1rem; color: var(--soft); font-size: .8rem; }
svg { display: block; width: 100%; height: 4.5rem; margin-top: .4rem; }
svg .area { fill: var(--fill); }
svg .line { fill: none; stroke: var(--accent); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
svg .base { stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke; }
code {
  font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  background: var(--code); border-radius: .35rem; padding: .15rem .45rem;
  overflow-wrap: anywhere; -webkit-user-select: all; user-select: all;
}
.urls { display: grid; grid-template-columns: auto 1fr; gap: .5rem 1rem; align-items: baseline; margin: .6rem 0 0; }
.urls span { color: var(--soft); font-size: .85rem; }
.title { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: .4rem 1rem; }
.soft { color: var(--soft); font-size: .9rem; }
ul { list-style: none; margin: 0; padding: 0; }
li {
  display: grid; grid-template-columns: minmax(0, 1fr) 6.5rem 10.5rem auto; gap: .1rem 1rem; align-items: baseline;
  padding: .7rem 1.25rem; border-top: 1px solid var(--line);
}
li .name { font-weight: 600; overflow-wrap: anywhere; unicode-bidi: isolate; }
li .size, li .peers { color: var(--soft); font-size: .9rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
li .size { text-align: right; }
li .peers b { color: var(--good); font-weight: 600; }
li .peers i { color: var(--accent); font-style: normal; font-weight: 600; }
li .links { font-size: .9rem; white-space: nowrap; }
li .links a { margin-left: .75rem; }
li .links a:first-child { margin-left: 0; }
a { color: var(--accent); text-decoration: none; }
a:hover, a:focus-visible { text-decoration: underline; }
footer { color: var(--soft); font-size: .85rem; margin-top: 1.25rem; }
footer span { white-space: nowrap; }
@media (max-width: 40rem) {
  main { padding: 1.25rem .9rem 2rem; }
  dl.figures { grid-template-columns: repeat(2, 1fr); }
  dl.figures div:nth-child(odd) { border-left: 0; }
  dl.figures div:nth-child(n + 3) { border-top: 1px solid var(--line); }
  .urls { grid-template-columns: 1fr; gap: .15rem; }
  .urls code { margin-bottom: .4rem; }
  li { display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: .7rem .9rem; }
  li .name { flex: 1 0 100%; }
  li .links { flex: 1 0 100%; }
  li .links a { margin-left: 1.5rem; }
  .pad, dl.figures div, figure { padding-left: .9rem; padding-right: .9rem; }
  .title code { display: block; margin-top: .4rem; }
  .title .dot { display: none; }
}
"""

# `$name` is filled in by `page.py`; nothing in the style has a dollar.
PAGE = Template(
    """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="15">
<meta name="referrer" content="no-referrer">
<title>Shoal tracker at $host</title>
<style>"""
    + STYLE
    + """</style>
</head>
<body>
<main>
<header><h1>Shoal tracker</h1><span class="state">$state</span></header>
<section>
<dl class="figures">
<div><dt>swarms</dt><dd>$swarms</dd></div>
<div><dt>seeders</dt><dd>$seeds</dd></div>
<div><dt>leechers</dt><dd>$leechers</dd></div>
<div><dt>announces / s</dt><dd>$rate</dd></div>
</dl>
$chart
</section>
<section class="pad">
<h2>Announce here</h2>
<div class="urls">$urls</div>
</section>
$catalogue
<footer>$footer</footer>
</main>
</body>
</html>
"""
)
