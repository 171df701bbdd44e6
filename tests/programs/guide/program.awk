# awk -v program=FILE -f program.awk PAGE: writes a page's program, its ```cpp blocks in order and between them what the
# page needs but does not show, in comments that begin with "<!-- cpp". The compiler's messages point into the page.
/^(```|<!-- )cpp$/ { inside = 1; printf "#line %d \"%s\"\n", FNR + 1, FILENAME > program; next }
/^(```|-->)$/ { inside = 0 }
inside { print > program }
