#!/bin/bash
# Three nodes, a top-of-rack router and six pods on this machine, from nothing, in one command.
#
#   sudo ./deploy/quickstart.sh           build all, bring it up, show it, check it, take it down
#   sudo ./deploy/quickstart.sh --keep    leave it running, and say what to try next
#   sudo ./deploy/quickstart.sh --down    take away what --keep left
#
# The exit status is 0 only if every check was right. Works on a fresh Debian 12; everything happens in
# network namespaces whose names begin with "mg-", and in /run/margay-lab-mg.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

case "${1:-}" in
"" | --keep | --down) [ $# -le 1 ] ;;
-h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"; exit 0 ;;
*) false ;;
esac || { echo "quickstart: unknown option: $*; it takes --keep, --down or nothing" >&2; exit 2; }
if [ "$(id -u)" != 0 ]; then
	echo "quickstart: must be root, for packages and network namespaces: sudo $0 $*" >&2
	exit 1
fi

if [ "${1:-}" != --down ]; then
	echo "== packages"
	./deploy/install-packages.sh build run lab
	echo "== build"
	[ -f build/build.ninja ] || meson setup build -Dtests=false >/dev/null
	meson compile -C build >build/compile.log 2>&1 || { tail -n 30 build/compile.log >&2; exit 1; }
fi
exec /usr/bin/python3 -B -m deploy.lab.quickstart "$@"
