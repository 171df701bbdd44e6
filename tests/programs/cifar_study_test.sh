#!/bin/sh
# Uses `repopt-cifar study` as a person would: runs a whole small study, repeats it, stops one and resumes it, and runs
# one in which a training fails. Usage: sh cifar_study_test.sh PROGRAM
# shellcheck disable=SC2016,SC2086  # check() evaluates its condition itself; $three is many words
set -eu
# shellcheck source=tests/programs/program_checks.sh
. "$(dirname "$0")/program_checks.sh"

"$program" study --smoke --out smoke >smoke.txt 2>log.txt
check "34 runs are planned and made" 'grep -q "\"planned\":34,\"results\":34,\"failed\":{}" smoke.txt'
check "study.csv has a line for each" '[ "$(grep -c "^cifar-small," smoke/study.csv)" -eq 34 ]'
check "no field is empty" '! grep -q ",," smoke/study.csv'

# The page has every section, loads nothing from elsewhere, and is well-formed XML.
for name in accuracy spread curves time rates scales kernels int8 fine-tuning; do
  check "the page has the section $name" 'grep -q "<section id=.cifar-small-$name.>" smoke/study.html'
done
for picture in "accuracy of every seed" "The prior, by branches or by gradients" "over seconds of training" \
  "GradMult of stage3.1" "Scales over the depth" "kernels of stage3.1"; do
  check "the page has the picture '$picture'" 'grep -q "aria-label=.[^>]*$picture" smoke/study.html'
done
check "the page names what was not run" 'grep -q "Not run: rep-ones, " smoke/study.html'
check "quant.csv has 5 networks of 2 seeds in 25 ways" '[ "$(grep -c "^cifar-small," smoke/quant.csv)" -eq 250 ]'
check "layers.csv has their layers" '[ "$(grep -c "^cifar-small," smoke/layers.csv)" -eq 70 ]'
for picture in "Test accuracy in %, per-tensor" "Test accuracy in %, per-channel" "Test accuracy in % at 5 bits" "Largest weight" \
  "Largest output" "Largest |gamma|" "Outputs at 5 bits"; do
  check "the page has the picture '$picture'" 'grep -q "aria-label=.[^>]*$picture" smoke/study.html'
done
check "quant.csv and the page have the split of rep-sqrt" \
  'grep -q ",rep-sqrt,.*,per-tensor,mse,5,5,8," smoke/quant.csv && grep -q "rep-sqrt, diagonals split off" smoke/study.html'
check "the page has their INT8 accuracy" 'grep -q "<th scope=.row.>repvgg, per-channel, mse</th>" smoke/study.html'
check "the page needs nothing else" '! grep -Eq "<script|<link|<img|src=|url\(" smoke/study.html'
check "accuracy over time has a picture of its own" 'grep -q "%: rep-sqrt, both rules" smoke/accuracy-cifar-small.svg'
# well_formed FILE: checks that the file is XML, if a program for that is here.
well_formed() {
  if command -v xmllint >/dev/null; then
    check "$1 is well-formed" "xmllint --noout $1"
  elif command -v python3 >/dev/null; then
    check "$1 is well-formed" "python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' $1"
  fi
}
well_formed smoke/study.html
well_formed smoke/accuracy-cifar-small.svg

# The page is made from small files alone: the same page, byte for byte, without the runs' folders. While the folders are
# there, missing files are made from them, as for a study of an older version.
epochs=$(awk -F, 'NR > 1 { n += $5 } END { print n }' smoke/study.csv)
check "curves.csv has a line for each of $epochs epochs" '[ "$(grep -c "^cifar-small," smoke/curves.csv)" -eq "$epochs" ]'
check "scales.csv has the scales of 2 searches" '[ "$(cut -d, -f1-5 smoke/scales.csv | sort -u | grep -c hyper_search)" -eq 2 ]'
check "kernels.csv has every run" '[ "$(tail -n +2 smoke/kernels.csv | cut -d, -f1-5 | sort -u | wc -l)" -eq 34 ]'
cp smoke/study.html first.html
rm smoke/study.html smoke/curves.csv smoke/scales.csv smoke/kernels.csv
"$program" study --smoke --page-only --out smoke >page.txt 2>log.txt
check "missing files are made from the runs' folders" 'cmp -s first.html smoke/study.html'
# An older version kept the histogram of one block of each network.
sort smoke/kernels.csv >kernels.txt
awk -F, 'BEGIN { OFS = "," } NR > 1 && $6 != "stage3.1" { $10 = "" } { print }' smoke/kernels.csv >older.csv
cp older.csv smoke/kernels.csv
"$program" study --smoke --page-only --out smoke >page.txt 2>log.txt
check "histograms that an older kernels.csv lacks are made from the runs' folders" \
  'sort smoke/kernels.csv | cmp -s - kernels.txt && ! cmp -s older.csv smoke/kernels.csv && cmp -s first.html smoke/study.html'
mv smoke/runs runs
rm smoke/study.html
"$program" study --smoke --page-only --out smoke >page.txt 2>log.txt
check "the page needs no run's folder" 'cmp -s first.html smoke/study.html'
"$program" study --page-only --models cifar-small --layer stage2.1 --out smoke >page.txt 2>log.txt
check "the page can show any block" 'grep -q "aria-label=.The kernels of stage2.1" smoke/study.html'
mv smoke/kernels.csv .
cp older.csv smoke/kernels.csv
"$program" study --page-only --models cifar-small --layer stage2.1 --out smoke >page.txt 2>log.txt
check "the page says which histogram an older kernels.csv lacks" \
  'grep -q "Missing: kernels.csv has no histogram of stage2.1\." smoke/study.html'
mv kernels.csv smoke/kernels.csv
"$program" study --smoke --out smoke >again.txt 2>log.txt
check "runs whose results are in study.csv are not repeated" '[ ! -e smoke/runs ] && grep -q "\"results\":34" again.txt'
mv smoke/curves.csv .
printf 'model,variant,seconds_per_epoch\ncifar-small,plain,1000\n' >smoke/seconds.csv
"$program" study --smoke --page-only --out smoke >page.txt 2>log.txt
check "the page says what is missing" 'grep -q "Missing: curves.csv has no line of these runs" smoke/study.html'
mv curves.csv smoke/curves.csv
"$program" study --smoke --page-only --out smoke >page.txt 2>log.txt
check "times of seconds.csv are used, and the page says so" \
  'grep -q "seconds of an epoch in seconds.csv" smoke/study.html && grep -q "<td>[12]000</td>\|>[12]000</span>" smoke/study.html'
rm smoke/seconds.csv
for option in --int8 --fine-tune-epochs=2; do
  refuses "$option with a page alone" "--page-only measures nothing" study --page-only $option --out smoke
done
head -n 3 smoke/study.csv >few.csv
mv few.csv smoke/study.csv
"$program" study --smoke --page-only --out smoke >page.txt 2>log.txt
check "--page-only runs nothing and names the runs that are not here" \
  'grep -q "\"results\":2" page.txt && grep -q "32 of 34 planned runs are not here" smoke/study.html'

# Three runs, of which one needs the scales of another. This is not a function, because a signal must reach the program
# itself and not a subshell.
three="study --data synthetic --models cifar-small --variants plain,rep-averaged --epochs 2 --seeds 1 --limit 512"
accuracies() { cut -d, -f1-8 "$1/study.csv" | sort; }

"$program" $three --out whole >whole.txt 2>log.txt
status=0
"$program" $three --out stopped >stopped.txt 2>log.txt &
child=$!
until grep -q "^epoch 1/" stopped/runs/*/log.txt 2>/dev/null; do kill -0 "$child" && sleep 0.1; done
kill -INT "$child" 2>/dev/null || true
wait "$child" || status=$?
check "a stopped study exits with 130, not $status" '[ "$status" -eq 130 ]'
check "a stopped run has saved a checkpoint" '[ -s stopped/runs/*hyper_search*/checkpoint.safetensors ]'
"$program" $three --out stopped >one.txt 2>log.txt &
child=$!
"$program" $three --out stopped >two.txt 2>log.txt
wait "$child"
check "two processes finish the stopped study, with the results of an undisturbed one" \
  '[ "$(accuracies stopped)" = "$(accuracies whole)" ]'

fine="study --data synthetic --models cifar-small --variants plain,rep-searched,rep-averaged --epochs 1 --seeds 1 --limit 64 --batch-size 16"
"$program" $fine --out fine >fine.txt 2>log.txt
check "networks that are not to be fine-tuned are not" '[ ! -e fine/fine_tuned.csv ] && grep -q "fine_tuned.csv has no line" fine/study.html'
"$program" $fine --out fine --fine-tune-epochs 1 >fine.txt 2>log.txt
check "3 networks are fine-tuned in 4 ways, and that of averaged scales is left out" \
  '[ "$(grep -c "^cifar-small," fine/fine_tuned.csv)" -eq 12 ] && grep -q "\"failed\":{}" fine.txt'
check "the page has their accuracy" 'grep -q "<th scope=.row.>rep-searched, 4 bits, diagonals split off</th>" fine/study.html'
well_formed fine/study.html

mkdir -p failing/runs/cifar-small-hyper_search-lr0.1-e2-s0
echo damaged >failing/runs/cifar-small-hyper_search-lr0.1-e2-s0/checkpoint.safetensors
"$program" $three --out failing >failing.txt 2>log.txt
check "a run that fails stops only the runs that need its scales" \
  '[ "$(cut -d, -f2 failing/study.csv | tail -n +2)" = plain ] && grep -q "rep-averaged.*there are no scales" failing.txt'
check "the page says why" 'grep -q "hyper_search-lr0.1-e2-s0: exit status 1: error: .*checkpoint" failing/study.html'

for table in layers.csv fine_tuned.csv; do
  echo "model,variant" >whole/$table
  refuses "a wrong $table, before the work" "$table: the first line is 'model,variant'" $three --out whole --epochs 3
  rm whole/$table
done
here="512 training and 512 test pictures of synthetic, batch size"
refuses "another batch size" "$here 128, Hyper-Searches of 2 epochs; these would be on $here 64, " $three --out whole \
  --batch-size 64
refuses "another Hyper-Search" "$here 128, Hyper-Searches of 1 epochs: choose another --out" $three --out whole \
  --search-epochs 1
refuses "another learning rate of Hyper-Search" "holds a Hyper-Search of learning rate 0.1; this one would be of 0.05" $three \
  --out whole --search-lr 0.05
rm whole/study.csv
status=0
"$program" $three --out whole --batch-size 64 >other.txt 2>log.txt || status=$?
check "a study whose runs all fail: exit status $status" '[ "$status" -eq 1 ] && grep -q "^error: every run failed" log.txt'
check "a run without a line in study.csv is not taken for a run with another batch size" \
  'grep -q "plain-lr0.1-e2-s0 holds a run on .* batch size 128, .* this would be on .* batch size 64" log.txt'

finish
