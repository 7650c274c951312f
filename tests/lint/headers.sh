#!/bin/bash
# Every header compiles by itself, with both compilers.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
flags="$(pkg-config --cflags jansson libnl-3.0 libnl-route-3.0) -I. -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only"
bad=0 n=0
for h in lib/*.h model/*.h bgp/*.h ipam/*.h policy/*.h datastore/*.h dataplane/*.h agent/*.h agent/*/*.h cni-plugin/*.h ctl/*.h; do
	[ -e "$h" ] || continue
	n=$((n + 1))
	for cc in gcc clang; do
		# shellcheck disable=SC2086
		printf '#include "%s"\nint only_this;\n' "$h" | $cc $flags -x c - || { echo "$h does not stand alone ($cc)"; bad=1; }
	done
done
echo "$n headers"
[ $n -gt 10 ] && [ $bad = 0 ]
