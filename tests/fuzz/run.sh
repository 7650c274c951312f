#!/bin/bash
# Every fuzz target, under AddressSanitizer and UBSan, beginning with the inputs in corpus/.
#
#   tests/fuzz/run.sh SECONDS [TARGET...]    so long in all, shared by the targets, two at a time; 0: the corpus only
#   tests/fuzz/run.sh merge                  put into corpus/ what runs have found and reaches new code
#
# What a run finds goes to build-fuzz/found/TARGET; an input that fails to build-fuzz/failed/, with its words
# in build-fuzz/TARGET.log. The exit status is 0 when nothing failed.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
dir=build-fuzz
usage() { sed -n '2,/^set/s/^# \?//p' "$0" | head -n -1; exit 2; }
[ $# -ge 1 ] || usage

if [ ! -f $dir/build.ninja ]; then
	CC=clang meson setup $dir -Dtests=false -Dfuzz=true -Db_lundef=false -Db_sanitize=address,undefined \
		-Dc_args=-fsanitize=fuzzer-no-link >/dev/null || exit 1
fi
meson compile -C $dir >$dir/compile.log 2>&1 || { tail -n 40 $dir/compile.log; exit 1; }
what=$1; shift
at_once=2
targets=${*:-$(cd $dir/tests/fuzz && find . -maxdepth 1 -type f -executable -name 'fuzz-*' -printf '%f\n' | sed 's/^fuzz-//' | sort)}

# The inputs that reach code which no other one reaches.
merge() {
	local new=$dir/merged/$1
	rm -rf "$new"; mkdir -p "$new" "tests/fuzz/corpus/$1" "$dir/found/$1"
	$dir/tests/fuzz/fuzz-"$1" -merge=1 -max_len=1024 "$new" "tests/fuzz/corpus/$1" "$dir/found/$1" >$dir/"$1".log 2>&1 || return 1
	rm -rf "tests/fuzz/corpus/$1"; mv "$new" "tests/fuzz/corpus/$1"
	echo "$1: $(find "tests/fuzz/corpus/$1" -type f | wc -l) inputs"
}

run() {
	local t=$1 how
	mkdir -p "tests/fuzz/corpus/$t" "$dir/found/$t" "$dir/failed"
	if [ "$what" = 0 ]; then how=-runs=0; else how=-max_total_time=$each; fi
	if $dir/tests/fuzz/fuzz-"$t" $how -max_len=4096 -timeout=20 -rss_limit_mb=2048 -artifact_prefix=$dir/failed/"$t"- \
		"$dir/found/$t" "tests/fuzz/corpus/$t" >$dir/"$t".log 2>&1; then
		echo "ok   $t: $(grep -E '^#[0-9]+\s+DONE' $dir/"$t".log)"
	else
		echo "FAIL $t:"; tail -n 30 $dir/"$t".log
		return 1
	fi
}

export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
case $what in
merge)
	for t in $targets; do merge "$t" || exit 1; done
	;;
*[!0-9]*)
	usage
	;;
*)
	# shellcheck disable=SC2086
	set -- $targets
	each=$((what * at_once / $#)); [ "$each" -gt 0 ] || each=1 # 0 would be without end
	export -f run; export what each dir
	printf '%s\n' "$@" | xargs -P $at_once -I{} bash -c 'run {}'
	;;
esac
