# awk -v program=FILE -f program.awk PAGE: writes a page's program. It consists of the page's ```cpp blocks and of its
# comments that begin with "<!-- cpp", which hold code that the page does not show. The compiler's messages point into
# the page.
/^(```|<!-- )cpp$/ { inside = 1; printf "#line %d \"%s\"\n", FNR + 1, FILENAME > program; next }
/^(```|-->)$/ { inside = 0 }
inside { print > program }
