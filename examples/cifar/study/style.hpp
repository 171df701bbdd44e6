// The style sheet of study.html.
#pragma once

#include <string_view>

namespace repopt_cifar::study {

inline constexpr std::string_view page_style = R"(
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 0 auto; padding: 1rem;
  max-width: 1180px; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.35rem; margin: 2.5rem 0 0; padding-top: .5rem; border-top: 3px solid #0072b2; }
h3 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { max-width: 46rem; margin: .5rem 0; }
nav a { margin-right: 1rem; }
figure { margin: 1rem 0 1.5rem; }
figcaption { font-weight: 600; font-size: .9rem; margin-bottom: .8rem; }
.plot { position: relative; height: clamp(16rem, 38vw, 26rem); margin: 0 .6rem 3rem 2.6rem; font-size: .8rem; }
.plot svg { position: absolute; width: 100%; height: 100%; overflow: visible; }
.plot span { position: absolute; line-height: 1; white-space: nowrap; }
.plot .top { right: calc(100% + .4rem); transform: translateY(-50%); }
.plot .left { top: calc(100% + .4rem); transform: translateX(-50%); }
.plot .axis { top: calc(100% + 1.6rem); left: 0; right: 0; text-align: center; }
.plot polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
.grid { stroke: #ddd; }
.dot { stroke-linecap: round; }
.plot *, .strip * { vector-effect: non-scaling-stroke; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem .9rem; margin: .2rem 0; padding: 0;
  font-size: .85rem; }
.legend svg { width: 24px; height: 8px; margin-right: .35rem; vertical-align: middle; }
.spread { width: 100%; }
.spread td:nth-child(2) { width: 100%; padding: 0 1.2rem; }
.strip { display: block; width: 100%; height: 1.6rem; overflow: visible; }
.marks { position: relative; height: 1.2rem; font-size: .8rem; }
.marks span { position: absolute; transform: translateX(-50%); white-space: nowrap; }
.maps { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; align-items: end; }
.maps figure { margin: 0; }
.maps svg { display: block; width: 100%; aspect-ratio: 1; }
.scale { display: flex; gap: .5rem; align-items: center; font-size: .8rem; margin-top: .6rem; }
.scale svg { flex: 1; height: .7rem; }
.scroll { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #ddd; vertical-align: bottom; }
thead th { border-bottom: 2px solid #888; font-weight: 600; min-width: 4.2rem; }
tbody th { text-align: left; font-weight: 500; white-space: nowrap; position: sticky; left: 0; background: #fff; }
thead th:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
td { white-space: nowrap; }
details { margin: .5rem 0; }
dt { font-weight: 500; }
dd { margin: 0 0 .3rem 1.5rem; }
)";

}  // namespace repopt_cifar::study
