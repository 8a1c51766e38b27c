"""The page's style sheet: dark and light, narrow and wide, on screen and on paper. It refers to nothing outside."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

CSS: Final = """
:root{color-scheme:light dark;--bg:#fff;--panel:#f6f8fa;--line:#d0d7de;--text:#1b1f24;--soft:#57606a;--link:#0550ae;
--good:#116329;--good-bg:#dafbe1;--bad:#a40e26;--bad-bg:#ffebe9;--wait:#7d4e00;--wait-bg:#fff3c4;--idle:#8c959f;
--p0:#0969da;--p1:#8250df;--p2:#bf3989;--p3:#953800;--p4:#1a7f37;--p5:#57606a;--p6:#0e7490;--p7:#9a6700;
--free:#e6eaef}
@media screen and (prefers-color-scheme:dark){:root{--bg:#0d1117;--panel:#161b22;
--line:#30363d;--text:#e6edf3;--soft:#9da7b3;--link:#79c0ff;--good:#7ee787;--good-bg:#12261e;--bad:#ffa198;--bad-bg:#341a1d;--wait:#e3b341;--wait-bg:#2f2611;
--idle:#6e7681;--p0:#388bfd;--p1:#a371f7;--p2:#db61a2;--p3:#db6d28;--p4:#3fb950;--p5:#8b949e;--p6:#39c5cf;
--p7:#d29922;--free:#262c36}}
*{box-sizing:border-box}
html{font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;color:var(--text);
background:var(--bg);-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:66rem;padding:1rem 1rem 4rem;overflow-wrap:anywhere}
a{color:var(--link)}
a:focus-visible,summary:focus-visible,[tabindex]:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-999px}
.skip:focus{position:static}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0}
h2{font-size:1.2rem;margin:2.5rem 0 .75rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:1.25rem 0 .5rem}
p{margin:.5rem 0;max-width:46rem}
small,.soft,figcaption,caption{color:var(--soft);font-size:.875rem}
code,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.9em}
.badge{display:inline-block;padding:.1rem .6rem;border-radius:1rem;font-size:.8rem;font-weight:600;border:1px solid}
.good{color:var(--good);background:var(--good-bg);border-color:var(--good)}
.bad{color:var(--bad);background:var(--bad-bg);border-color:var(--bad)}
.wait{color:var(--wait);background:var(--wait-bg);border-color:var(--wait)}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1rem;list-style:none;margin:1rem 0;padding:0;font-size:.9rem}
.alert{border:1px solid var(--bad);border-left-width:.4rem;border-radius:.4rem;padding:.25rem 1rem 1rem;
margin:1.5rem 0;background:var(--bad-bg)}
.alert h2{border:0;margin:.75rem 0 .25rem;color:var(--bad)}
.alert dt{font-weight:600;margin-top:.6rem}
.alert dd{margin:0}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;margin:1rem 0;padding:0}
.cards>div{background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}
.cards dt{color:var(--soft);font-size:.8rem}
.cards dd{margin:0;font-size:1.15rem;font-weight:600}
.cards small{display:block;font-weight:400}
table{border-collapse:collapse;width:100%;margin:.75rem 0;font-size:.93rem}
caption{text-align:left;padding:.25rem 0}
th,td{text-align:left;vertical-align:top;padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line)}
thead th{font-size:.8rem;color:var(--soft);font-weight:600}
tbody th{font-weight:500}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.n:last-child,th.n:last-child{padding-right:0}
tfoot td,tfoot th{font-weight:600;border-bottom:0}
.said{white-space:pre-wrap;unicode-bidi:isolate}
blockquote{margin:.25rem 0 .75rem;padding:.5rem .9rem;border-left:.25rem solid var(--line);background:var(--panel);
border-radius:0 .4rem .4rem 0}
blockquote.answer{border-left-color:var(--p0)}
figure{margin:0}
pre{white-space:pre-wrap;background:var(--panel);border:1px solid var(--line);border-radius:.4rem;padding:.6rem .8rem;
font-size:.85rem;max-height:24rem;overflow:auto;margin:.4rem 0}
details{margin:.3rem 0}
summary{cursor:pointer;color:var(--link)}
.bar{display:block;width:100%;height:2.75rem;border:1px solid var(--line);border-radius:.4rem;background:var(--free)}
.bar.thin{height:.7rem;border:0;border-radius:.2rem;background:var(--panel);margin:.3rem 0}
.swatch{width:.9rem;height:.9rem;border-radius:.2rem;vertical-align:-.1rem;margin-right:.45rem;
outline:1px solid var(--line)}
.p0{fill:var(--p0)}.p1{fill:var(--p1)}.p2{fill:var(--p2)}.p3{fill:var(--p3)}.p4{fill:var(--p4)}.p5{fill:var(--p5)}
.p6{fill:var(--p6)}.p7{fill:var(--p7)}.free{fill:var(--free)}
.ok{fill:var(--good)}.no{fill:var(--bad)}.idle{fill:var(--wait);opacity:.55}.now{fill:var(--p0)}
.bar rect{stroke:var(--bg);stroke-width:1;vector-effect:non-scaling-stroke}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:.5rem;background:var(--panel)}
.graph{display:block;min-width:46rem;width:100%;height:auto}
.graph rect{fill:var(--bg);stroke:var(--line);stroke-width:1.5}
.graph text{font:500 11.5px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif;fill:var(--soft);
text-anchor:middle}
.graph .tag{font-size:10px;font-weight:700}
.graph .succeeded rect{fill:var(--good-bg);stroke:var(--good)}
.graph .succeeded text{fill:var(--good)}
.graph .failed rect{fill:var(--bad-bg);stroke:var(--bad);stroke-width:2.5}
.graph .failed text{fill:var(--bad)}
.graph .running rect{fill:var(--wait-bg);stroke:var(--wait)}
.graph .running text{fill:var(--wait)}
.graph path{fill:none;stroke:var(--idle);stroke-width:1.4}
.graph .caught{stroke-dasharray:4 3}
.graph .taken{stroke:var(--good);stroke-width:2.4}
.graph .taken.caught{stroke:var(--bad)}
.graph .head{fill:var(--idle);stroke:none}
.graph .head.taken{fill:var(--good)}
.graph .head.taken.caught{fill:var(--bad)}
.graph a:focus-visible rect{stroke:var(--link);stroke-width:4}
:target>th,:target>td{background:var(--wait-bg)}
footer{margin-top:3rem;border-top:1px solid var(--line);padding-top:.75rem}
ol.plain,ul.plain{margin:.3rem 0;padding-left:1.2rem;font-size:.9rem}
.marks{list-style:none;padding:0;margin:.25rem 0}
.marks li{display:grid;grid-template-columns:1.4rem 1fr auto;gap:0 .3rem;padding:.25rem 0;
border-bottom:1px solid var(--line)}
.marks small{grid-column:2/4}
.mark-done{color:var(--good)}.mark-failed{color:var(--bad);font-weight:700}.mark-running{color:var(--wait)}
.mark-pending,.mark-skipped{color:var(--soft)}
@media (max-width:40rem){h1{font-size:1.35rem}th,td{padding-right:.5rem}.wide{display:none}}
@media print{:root{color-scheme:light}body{max-width:none;padding:0;font-size:10.5pt}nav,.skip{display:none}
details::details-content{content-visibility:visible;display:block;block-size:auto}
pre{max-height:none}.scroll{overflow:visible}.graph{min-width:0}
h2,tr,.marks li,figure{break-inside:avoid}h2{break-after:avoid}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}a{color:inherit}}
"""

POLICY: Final = (
    "default-src 'none'; img-src data:; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'"
)
"""What the page may load, which is nothing: not even a mistake in the page could make a browser ask for anything."""
