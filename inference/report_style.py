"""How a version's report looks: one style sheet, light and dark, for a screen, a phone and paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #2e2742; --soft: #6f6781; --faint: #e4ddea; --paper: #fffdfa;
  --wash: #f6f1f4; --goal: #2c7a58; --bad: #b3345f; --series-0: #c05417; --series-1: #4f74b0;
  --series-2: #80589e; --series-3: #22808a; --series-4: #b3345f; --series-5: #a8693a; }
@media (prefers-color-scheme: dark) { :root {
  --ink: #f1eaf6; --soft: #b3a9c4; --faint: #3a3252; --paper: #1d1831;
  --wash: #151126; --goal: #6fcf9f; --bad: #f0829f; --series-0: #f5a860; --series-1: #86abe8;
  --series-2: #c39ee0; --series-3: #63c4cd; --series-4: #f0829f; --series-5: #e2a06c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--wash); color: var(--ink);
  font: 16px/1.6 system-ui, "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif; }
header, main { max-width: 920px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 36px; }
h1 { font-size: 38px; line-height: 1.2; margin: 4px 0; }
h2 { font-size: 21px; margin: 0 0 6px; }
p { margin: 0 0 12px; }
section { background: var(--paper); border: 1px solid var(--faint); border-radius: 16px; padding: 24px 28px;
  margin: 18px 0; }
.soft, small, caption { color: var(--soft); font-size: 14px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; padding: 0;
  margin: 20px 0; list-style: none; }
.tiles li { background: var(--paper); border: 1px solid var(--faint); border-radius: 14px;
  padding: 12px 16px; }
.tiles span, .tiles i { display: block; color: var(--soft); font: 14px/1.4 inherit; font-style: normal; }
.tiles b { font-size: 24px; line-height: 1.3; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 15px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 7px 12px 7px 0; border-bottom: 1px solid var(--faint);
  vertical-align: top; }
th { font-weight: 600; }
td.n, th.n { text-align: right; }
.n, .time { white-space: nowrap; }
td small { display: block; }
tbody th { font-weight: 400; }
tr.group th { color: var(--series-2); font-weight: 600; padding-top: 18px; }
tr.this th { font-weight: 600; }
.good { color: var(--goal); font-weight: 600; }
.bad { color: var(--bad); font-weight: 600; }
.key { display: inline-block; width: 11px; height: 11px; border-radius: 6px; margin-right: 8px; }
svg { display: block; width: 100%; height: auto; }
svg.bar { width: 140px; height: 16px; }
svg.small { max-width: 380px; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg .grid { stroke: var(--faint); }
code, .hash { font: 13px ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
ol.line { display: flex; flex-wrap: wrap; gap: 8px 0; list-style: none; padding: 0; margin: 0 0 18px; }
ol.line li { display: flex; align-items: center; }
ol.line li + li::before { content: ""; width: 28px; height: 2px; background: var(--soft); }
ol.line span { border: 1.5px solid var(--faint); border-radius: 18px; padding: 3px 14px; line-height: 1.35; }
ol.line li:last-child span { border-color: var(--series-0); font-weight: 600; }
ol.line small { display: block; font-weight: 400; }
ul.goals { list-style: none; padding: 0; margin: 14px 0 0; }
ul.goals li { padding: 5px 0; }
details { margin-top: 14px; }
summary { cursor: pointer; color: var(--soft); }
@media (max-width: 640px) { header, main { padding: 0 12px; } section { padding: 18px 16px; }
  h1 { font-size: 29px; } }
@media print { body { background: none; } section { break-inside: avoid; border: 0; padding: 8px 0; } }
"""
