#!/bin/sh
# Draws examples/guide/block.svg, README's picture of the method. Its colours follow the reader's light or dark theme.
# Usage: sh examples/guide/draw_block.sh >examples/guide/block.svg
set -eu

# box X Y WIDTH TEXT CLASS: a box of height 40 with a text in its middle.
box() {
  printf '<rect class="%s" x="%d" y="%d" width="%d" height="40" rx="6"/>\n' "$5" "$1" "$2" "$3"
  printf '<text x="%d" y="%d" text-anchor="middle">%s</text>\n' $(($1 + $3 / 2)) $(($2 + 25)) "$4"
}

# label X Y TEXT CLASS: a text that begins at X.
label() { printf '<text class="%s" x="%d" y="%d">%s</text>\n' "$4" "$1" "$2" "$3"; }

# line PATH: a line that ends in an arrow.
line() { printf '<path class="line" d="%s" marker-end="url(#tip)"/>\n' "$1"; }

cat <<'SVG'
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 250" font-family="system-ui, sans-serif" font-size="15">
<title>A block of three branches, and the one kernel that trains like it</title>
<style>
  text { fill: #1f2328 } .small { font-size: 13px; fill: #59636e } .head { font-weight: 600 }
  rect { fill: #fff; stroke: #59636e; stroke-width: 1.5 } .kernel { fill: #ddf4ff; stroke: #0969da }
  .line { fill: none; stroke: #59636e; stroke-width: 1.5 } .tip { fill: #59636e }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .small { fill: #9198a1 } rect { fill: #0d1117; stroke: #9198a1 }
    .kernel { fill: #0c2d4d; stroke: #4493f8 } .line { stroke: #9198a1 } .tip { fill: #9198a1 }
  }
</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>
SVG
label 20 24 'The block whose training you want' head
label 40 135 'x' text
box 110 50 150 's · conv 3×3' branch
box 110 110 150 't · conv 1×1' branch
box 110 170 150 'identity' branch
for y in 70 130 190; do
  line "M55 130 C85 130 80 $y 108 $y"
  line "M260 $y C290 $y 285 130 310 130"
done
label 316 136 '+' head
line 'M332 130 H356'
label 362 135 'y' text
label 430 24 'The kernel that you train' head
label 440 135 'x' text
line 'M455 130 H490'
box 494 110 170 'conv 3×3, W&#8242;' kernel
line 'M664 130 H698'
label 706 135 'y' text
label 430 190 'starts as the sum of the branches,' small
label 430 210 'and each gradient is multiplied by GradMult:' small
label 430 230 'the same y in every iteration' small
echo '</svg>'
