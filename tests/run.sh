#!/bin/bash
# Everything that can say whether margay is right, in one command.
#
#   sudo ./tests/run.sh              all of it
#   sudo ./tests/run.sh unit netns   only these parts: unit, lint, sanitize, netns, packets, uml, fuzz
#
# Ends with one line: N passed, N failed, N skipped. The exit status is 0 only if nothing failed.
#   unit      build with gcc and with clang, unit tests and simulations (gcc)
#   lint      allowed includes, headers that stand alone, words that do not belong here
#   sanitize  the same unit tests and simulations under AddressSanitizer and UBSan (clang)
#   netns     real kernel, real BIRD, real CNI plugins, in network namespaces
#   packets   random worlds of policy in two agents, judged packet by packet; WORLDS=2000 for long
#   fuzz      each fuzz target for some seconds beyond its corpus; tests/fuzz/run.sh 3600 for an hour
#   uml       what needs a tunnel that the running kernel may lack (ipip), under user-mode-linux
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
parts=${*:-lint unit sanitize netns packets uml fuzz}
if [ "$(id -u)" != 0 ]; then
	echo "tests/run.sh: must be root, for packages and network namespaces: sudo $0 $*" >&2
	exit 1
fi
./deploy/install-packages.sh || exit 1

passed=0 failed=0 skipped=0
count() { passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3)); }
say() { printf '\n== %s\n' "$*"; }

# One step that is right or wrong as a whole; what it said is shown when it was wrong.
step() {
	local name=$1 log; shift
	log=$(mktemp)
	if "$@" >"$log" 2>&1; then
		count 1 0 0; echo "ok   $name"
	else
		count 0 1 0; echo "FAIL $name"; tail -n 60 "$log"
	fi
	rm -f "$log"
}

# meson_tests DIR NAME: run a build's tests and add up its own JSON log.
meson_tests() {
	local sums
	meson test -C "$1" --no-rebuild --print-errorlogs --num-processes 2 >"$1/test.log" 2>&1
	grep -E '(FAIL|ERROR|TIMEOUT) ' "$1/test.log" || true
	grep -q '^Fail: *0$' "$1/test.log" || tail -n 80 "$1/test.log"
	sums=$(/usr/bin/python3 -B tests/sums.py "$1/meson-logs/testlog.json")
	# shellcheck disable=SC2086
	count $sums
	echo "$2: $sums (passed failed skipped)"
}

# build DIR COMPILER [OPTION...]: configure once, then compile.
build() {
	local dir=$1 cc=$2; shift 2
	[ -f "$dir/build.ninja" ] || CC=$cc meson setup "$dir" "$@" || return 1
	meson configure "$dir" -Dtests=true || return 1 # the quick start builds without
	meson compile -C "$dir"
}

for part in $parts; do
	case $part in
	lint)
		say "lint"
		step "includes go only where they may" /usr/bin/python3 -B tests/lint/includes.py
		step "headers stand alone, with gcc and clang" tests/lint/headers.sh
		step "docs/differences.md is what the sources say" /usr/bin/python3 -B docs/differences.py --check
		step "words" /usr/bin/python3 -B tests/lint/words.py
		;;
	unit)
		say "unit tests and simulations"
		step "build with gcc" build build gcc
		step "build with clang" build build-clang clang
		meson_tests build "unit, gcc"
		;;
	sanitize)
		say "unit tests and simulations under AddressSanitizer and UBSan"
		step "build with sanitizers" build build-asan clang -Db_sanitize=address,undefined -Db_lundef=false
		ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
			meson_tests build-asan "unit, sanitizers"
		;;
	netns)
		say "network namespaces"
		[ -x build/agent/margayd ] || step "build with gcc" build build gcc
		out=$(mktemp)
		/usr/bin/python3 -B -m pytest -p no:cacheprovider -q tests/netns --junit-xml="$out" \
			${PYTEST_ARGS:-} || true
		sums=$(/usr/bin/python3 -B tests/sums.py "$out"); rm -f "$out"
		# shellcheck disable=SC2086
		count $sums
		;;
	packets)
		say "policy, packet by packet"
		[ -x build/tests/packets/packet-judge ] || step "build with gcc" build build gcc
		out=$(mktemp)
		/usr/bin/python3 -B -m pytest -p no:cacheprovider -q -s tests/packets --junit-xml="$out" \
			${PYTEST_ARGS:-} || true
		sums=$(/usr/bin/python3 -B tests/sums.py "$out"); rm -f "$out"
		# shellcheck disable=SC2086
		count $sums
		;;
	uml)
		say "tunnels under user-mode-linux"
		[ -x build/agent/margayd ] || step "build with gcc" build build gcc
		step "tunnel devices with ipip" tests/uml/run.sh build/tests/test-dp-tunnel
		step "routes through tunl0" tests/uml/run.sh build/tests/test-dp-route-tunnel
		for files in "test_encap.py test_encap_faults.py" "test_nat.py test_mixed_reflectors.py::test_roads"; do
			out=$(mktemp -p /var/tmp)
			# shellcheck disable=SC2086
			UML_TIMEOUT=2400 tests/uml/run.sh /usr/bin/python3 -B -m pytest -p no:cacheprovider -q \
				$(printf 'tests/netns/%s ' $files) --junit-xml="$out" ${PYTEST_ARGS:-} || true
			sums=$(/usr/bin/python3 -B tests/sums.py "$out"); rm -f "$out"
			# shellcheck disable=SC2086
			count $sums
		done
		;;
	fuzz)
		say "fuzz targets"
		step "nothing found in a minute" tests/fuzz/run.sh 60
		;;
	*)
		echo "tests/run.sh: no part is called $part; there are: unit lint sanitize netns packets uml fuzz" >&2
		exit 2
		;;
	esac
done

printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
