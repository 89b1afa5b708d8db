"""How a page looks: one style sheet for screen, phone, dark rooms and paper. No markup and no text stands here."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --soft: #59626d; --paper: #ffffff; --band: #f4f6f8; --line: #d5dae0;
  --link: #0b5cad; --good: #146c2e; --good-band: #e4f4e8; --bad: #a3170f; --bad-band: #fde8e6;
  --doubt: #7a4d00; --doubt-band: #fdf1d8;
  --a: #0072b2; --b: #d55e00; --c: #8a949e; --d: #56b4e9; --e: #b5629a; --f: #e69f00; --g: #009e73; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #a4adb7; --paper: #15181c; --band: #1f242a;
  --line: #3a424b; --link: #7ab8f5; --good: #7fd69a; --good-band: #14301d; --bad: #ff9c93; --bad-band: #3b1714;
  --doubt: #f2c46d; --doubt-band: #35290f; --a: #4aa3dc; --c: #7d8791; } }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; color: var(--ink);
  background: var(--paper); margin: 0 auto; padding: 2rem clamp(1rem, 4vw, 3rem) 4rem; max-width: 76rem;
  overflow-wrap: break-word; }
a { color: var(--link); } :focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; top: .5rem; background: var(--paper); }
h1 { font-size: clamp(1.5rem, 1.1rem + 2vw, 2.2rem); line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em;
  text-wrap: balance; }
h2 { font-size: 1.4rem; line-height: 1.25; margin: 3rem 0 .8rem; padding-top: .9rem;
  border-top: 2px solid var(--line); }
h3 { font-size: 1.1rem; line-height: 1.3; margin: 2rem 0 .5rem; } h4 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
.number { color: var(--soft); font-weight: 400; margin-right: .35em; font-variant-numeric: tabular-nums; }
p, ul, ol { margin: .6rem 0; max-width: 46rem; } li { margin: .25rem 0; } li > p { margin: 0; }
.subtitle { color: var(--soft); font-size: 1.05rem; margin: 0 0 1rem; }
.verdict { font-size: 1.15rem; font-weight: 600; padding: .8rem 1rem; border-left: .35rem solid var(--soft);
  background: var(--band); max-width: none; }
.verdict.good { color: var(--good); background: var(--good-band); border-color: var(--good); }
.verdict.bad { color: var(--bad); background: var(--bad-band); border-color: var(--bad); }
.verdict.doubt { color: var(--doubt); background: var(--doubt-band); border-color: var(--doubt); }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: .5rem 2rem;
  margin: 1.2rem 0; }
.facts dt { color: var(--soft); font-size: .8rem; } .facts dd { margin: 0; overflow-wrap: anywhere; }
nav { border: 1px solid var(--line); border-radius: .4rem; padding: .6rem 1rem; margin: 1.5rem 0; }
nav ol { columns: 15rem; max-width: none; margin: 0; padding-left: 1.8rem; }
nav li { break-inside: avoid; margin: 0; padding: .12rem 0; }
caption span { display: block; max-width: min(46rem, calc(100vw - 2.5rem)); }
.scroll { overflow-x: auto; margin: 1rem 0 1.6rem;
  background: linear-gradient(to right, var(--paper) 40%, transparent) left / 2rem 100% no-repeat local,
    linear-gradient(to left, var(--paper) 40%, transparent) right / 2rem 100% no-repeat local,
    linear-gradient(to right, var(--c), transparent) left / .5rem 100% no-repeat scroll,
    linear-gradient(to left, var(--c), transparent) right / .5rem 100% no-repeat scroll; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; line-height: 1.4; }
caption { text-align: left; font-weight: 600; padding: .2rem 0 .5rem; font-size: .95rem; }
th, td { border-bottom: 1px solid var(--line); padding: .4rem .6rem; text-align: left; vertical-align: top;
  overflow-wrap: break-word; min-width: 4rem; }
thead th { background: var(--band); border-bottom: 2px solid var(--line); font-size: .8rem; overflow-wrap: normal; }
tbody th { font-weight: 600; } .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.k, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .8rem; }
tbody th.k { font-weight: 600; }
.c4 { min-width: 34rem; } .c5 { min-width: 40rem; } .c6 { min-width: 46rem; } .c7 { min-width: 52rem; }
.c8 { min-width: 58rem; } .c9 { min-width: 64rem; }
pre { background: var(--band); border-radius: .3rem; padding: .8rem 1rem; overflow-x: auto; line-height: 1.45; }
.mark { font-weight: 600; } .mark.good { color: var(--good); } .mark.bad { color: var(--bad); }
.mark.doubt { color: var(--doubt); } .mark.quiet { color: var(--soft); font-weight: 400; }
figure { margin: 1.4rem 0; } figcaption { font-weight: 600; font-size: .95rem; margin-bottom: .5rem; }
figure > svg { display: block; width: 100%; max-width: 46rem; height: auto; background: var(--paper); }
figure > p { color: var(--soft); font-size: .875rem; } details { margin: .5rem 0; } summary { cursor: pointer; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .875rem; }
.swatch { width: .8em; height: .8em; margin-right: .4em; vertical-align: -.05em; }
text { font-size: 12px; fill: var(--ink); } .l-soft { fill: var(--soft); } .l-bold { font-weight: 600;
  paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }
.l-small { fill: var(--soft); font-size: 10px; }
.t-a { fill: var(--a); } .t-b { fill: var(--b); } .t-c { fill: var(--c); } .t-d { fill: var(--d); }
.t-e { fill: var(--e); } .t-f { fill: var(--f); } .t-g { fill: var(--g); } .t-quiet { fill: var(--line); }
polyline { fill: none; stroke-width: 1; stroke: var(--line); } .p-a { stroke: var(--a); stroke-width: 2; }
.p-b { stroke: var(--b); stroke-width: 1.5; stroke-dasharray: 4 3; } .p-link { stroke: var(--c); stroke-width: 1.2; }
@page { margin: 16mm 14mm; }
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --paper: #fff; --band: #f2f2f2; --line: #bbb; --link: #000;
    --good: #0b5a24; --good-band: #fff; --bad: #8f0f08; --bad-band: #fff; --doubt: #6b4300; --doubt-band: #fff;
    --a: #0072b2; --c: #8a949e; }
  body { font-size: 10pt; max-width: none; padding: 0; } nav, .skip, details { display: none; }
  .scroll, pre { overflow: visible; } .scroll { background: none; } pre { white-space: pre-wrap; }
  table { min-width: 0 !important; font-size: 8.5pt; }
  th, td { padding: .2rem .35rem; min-width: 0; }
  td { overflow-wrap: anywhere; } td.k, .mark { overflow-wrap: break-word; }
   .k, pre { font-size: 7.5pt; } .n { white-space: normal; }
  h1, h2, h3, h4, caption, figcaption { break-after: avoid; } h2 { margin-top: 1.6rem; }
  tr, figure, .verdict, pre { break-inside: avoid; } p:has(+ pre) { break-after: avoid; }
  thead { display: table-header-group; } tbody tr:first-child { break-before: avoid; }
  svg, .mark, .verdict { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
