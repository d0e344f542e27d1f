//! The page's style sheet and its one small script.
//!
//! Colours are variables with a value for light and one for dark. The series colours are told apart by people
//! who do not see red and green alike, and keep their order in every panel.

/// The style sheet.
pub(super) const CSS: &str = r#"
:root { color-scheme: light dark;
  --bg:#f6f7f9; --card:#ffffff; --ink:#1c2430; --soft:#5a6677; --line:#dfe4ea; --grid:#edf0f4;
  --good:#1a7f4b; --good-bg:#e7f5ed; --bad:#b3261e; --bad-bg:#fcebea; --warn:#9a6200;
  --c0:#3b76c4; --c1:#e08a2b; --c2:#2a9d8f; --c3:#8e63b8; --c4:#c9b037; --c5:#7a8797; --c6:#c2598c; --c7:#6fa8dc; }
@media (prefers-color-scheme: dark) { :root {
  --bg:#12161c; --card:#1a2028; --ink:#e4e9f0; --soft:#97a3b4; --line:#2c3542; --grid:#242c37;
  --good:#5fce96; --good-bg:#16301f; --bad:#ff8a80; --bad-bg:#3a1a1a; --warn:#e5b454;
  --c0:#6ea6ee; --c1:#f0a655; --c2:#4fc3b3; --c3:#b892e0; --c4:#ddc75a; --c5:#93a1b3; --c6:#e283b0; --c7:#9cc6ef; } }
* { box-sizing:border-box; }
body { margin:0; background:var(--bg); color:var(--ink); font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif; }
main { max-width:1240px; margin:0 auto; padding:28px 24px 56px; }
header { display:flex; flex-wrap:wrap; gap:4px 18px; align-items:baseline; margin-bottom:16px; }
h1 { font-size:24px; margin:0; letter-spacing:-.01em; }
h2 { font-size:16px; margin:0 0 12px; }
.sub { color:var(--soft); font-variant-numeric:tabular-nums; }
section { background:var(--card); border:1px solid var(--line); border-radius:10px; padding:18px 20px; margin-top:18px; }
.verdict { border-left:6px solid var(--good); background:var(--good-bg); }
.verdict.failed { border-left-color:var(--bad); background:var(--bad-bg); }
.verdict strong { display:block; font-size:20px; color:var(--good); }
.verdict.failed strong { color:var(--bad); }
.verdict p { margin:2px 0 10px; }
code { font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace; overflow-wrap:anywhere; }
.replay { display:flex; gap:10px; align-items:baseline; }
.replay span { color:var(--soft); flex:none; }
.replay code { background:var(--card); border:1px solid var(--line); border-radius:6px; padding:5px 10px; flex:1; user-select:all; }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(178px,1fr)); gap:12px; margin-top:18px; }
.tile { background:var(--card); border:1px solid var(--line); border-radius:10px; padding:12px 14px; }
.tile b { display:block; font-size:22px; font-weight:650; letter-spacing:-.01em; font-variant-numeric:tabular-nums; }
.tile span { color:var(--soft); font-size:13px; display:block; }
.tile.bad { color:inherit; font-weight:inherit; } .tile.bad b { color:var(--bad); }
.scroll { overflow-x:auto; }
svg { display:block; width:100%; min-width:860px; height:auto; font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif; }
svg text { fill:var(--soft); } svg .title { fill:var(--ink); font-weight:600; font-size:13px; } svg .key { font-size:12px; }
svg .grid { stroke:var(--grid); stroke-width:1; } svg .axis { stroke:var(--line); stroke-width:1; }
svg .hover { fill:transparent; } svg .hover:hover { fill:var(--ink); fill-opacity:.07; }
svg .cross { stroke:var(--soft); stroke-width:1; stroke-dasharray:3 3; pointer-events:none; visibility:hidden; }
svg .none { fill:var(--soft); font-style:italic; }
.columns { display:grid; grid-template-columns:repeat(auto-fit,minmax(440px,1fr)); gap:0 18px; }
table { width:100%; border-collapse:collapse; font-size:14px; font-variant-numeric:tabular-nums; }
th { text-align:left; font-weight:600; color:var(--soft); font-size:12.5px; }
th,td { padding:5px 14px 5px 0; border-bottom:1px solid var(--grid); vertical-align:top; }
tr:last-child td { border-bottom:0; } td:last-child,th:last-child { padding-right:0; }
.n { text-align:right; white-space:nowrap; } .whole { white-space:nowrap; } .wide { overflow-wrap:anywhere; }
.ok { color:var(--good); font-weight:600; } .bad { color:var(--bad); font-weight:600; } .warn { color:var(--warn); font-weight:600; } .soft { color:var(--soft); }
p.empty { margin:0; color:var(--soft); } footer { color:var(--soft); font-size:13px; margin-top:20px; }
@media (max-width:560px) { main { padding:16px 12px 40px; } .columns { grid-template-columns:minmax(0,1fr); } section { padding:14px; } }
@media print { section,.tile { break-inside:avoid; } body { background:#fff; } }
"#;

/// The cross-hair. The page reads without it: hover titles are plain SVG.
pub(super) const SCRIPT: &str = r"
(function(){var s=document.getElementById('timeline');if(!s)return;var c=s.querySelector('.cross');if(!c)return;
s.addEventListener('mousemove',function(e){var r=s.getBoundingClientRect(),v=s.viewBox.baseVal,x=(e.clientX-r.left)*v.width/r.width;
var i=x>=+s.dataset.left&&x<=+s.dataset.right;c.style.visibility=i?'visible':'hidden';c.setAttribute('x1',x);c.setAttribute('x2',x);});
s.addEventListener('mouseleave',function(){c.style.visibility='hidden';});})();
";

/// The colour of the i-th series of a panel.
pub(super) fn colour(i: usize) -> String {
    format!("var(--c{})", i % 8)
}
