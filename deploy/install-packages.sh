#!/bin/bash
# Install the Debian packages that margay needs; deploy/packages.txt is the one list.
# Usage: install-packages.sh [SECTION...]      sections: build run lab test (default: all)
# Says nothing and asks no server when everything is there already.
set -euo pipefail
list=$(dirname "$(readlink -f "$0")")/packages.txt
sections=${*:-build run lab test}
want=$(awk -v wanted=" $sections " '
	/^\[.*\]$/ { on = index(wanted, " " substr($0, 2, length($0) - 2) " "); next }
	{ sub(/#.*/, "") } NF && on { print $1 }' "$list")
[ -n "$want" ] || { echo "install-packages: no section of $list is named $sections" >&2; exit 2; }
missing=
for p in $want; do
	dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing+=" $p"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "install-packages: must be root to install:$missing" >&2
	exit 1
fi
echo "installing:$missing"
log=$(mktemp); trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# A daemon that a package starts by itself (bird2 does) would be in the way: policy-rc.d says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy
	trap 'rm -f "$log" $policy' EXIT
fi
# shellcheck disable=SC2086
if ! { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	echo "install-packages: apt-get failed, its last lines are above; the rest is needed by hand:$missing" >&2
	exit 1
fi
