#!/bin/bash
# Run a command under a second Linux kernel that has what the running one may lack (ipip above all).
#
#   tests/uml/run.sh COMMAND [ARGUMENT...]
#
# The kernel is Debian's user-mode-linux: an ordinary process, no virtualisation needed. It sees this
# machine's files (hostfs), with /run, /tmp, /var/lib/margay and /etc/margay of its own, empty and in memory (/tmp
# stays when the caller works in it). The command runs as root in the caller's directory; its output comes out
# here, stdout and stderr in one; its exit status is this script's. Modules are loaded when the kernel asks for
# them, as on any machine.
#
#   UML_MEM=1G         memory of the kernel (default 1G, taken only when used)
#   UML_WITHOUT="ipip" modules that this kernel shall not have, to see what happens then
#   UML_TIMEOUT=1200   seconds until all of it is ended
#
# Exit status 125: the kernel did not come up or the command did not end by itself; the reason is on stderr.
set -uo pipefail
[ $# -gt 0 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
for program in linux.uml modprobe; do
	command -v $program >/dev/null || {
		echo "$0: no $program; the packages user-mode-linux and kmod have it (deploy/install-packages.sh test)" >&2
		exit 125
	}
done

box=$(mktemp -d /var/tmp/margay-uml.XXXXXX)
trap 'rm -rf "$box"' EXIT
modules=$(echo /usr/lib/uml/modules/*)

# What the kernel runs to get a module. modprobe wants ROOT/lib/modules/VERSION, so give it such a root.
mkdir -p "$box/lib"
ln -s /usr/lib/uml/modules "$box/lib/modules"
cat >"$box/modprobe" <<-END
	#!/bin/bash
	for word; do
	case " ${UML_WITHOUT:-} " in *" \${word#rtnl-link-} "*) exit 1 ;; esac
	done
	exec /sbin/modprobe -d $box "\$@"
END

# Words are quoted once here and taken apart once there.
printf '%q ' "$@" >"$box/command"
cat >"$box/init" <<-END
	#!/bin/bash
	export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
	export MARGAY_KERNEL=uml MARGAY_BUILD="${MARGAY_BUILD:-}" PYTHONDONTWRITEBYTECODE=1
	stty -opost </dev/console
	mount -t proc proc /proc
	mount -t sysfs sys /sys
	mount -t tmpfs run /run
	case $PWD/ in /tmp/*) ;; *) mount -t tmpfs tmp /tmp ;; esac
	for dir in /var/lib/margay /etc/margay; do [ -d \$dir ] && mount -t tmpfs tmpfs \$dir; done
	mkdir -p /run/netns /run/lock
	echo $box/modprobe >/proc/sys/kernel/modprobe
	ip link set lo up
	cd ${PWD@Q} || exit
	source $box/command </dev/null
	echo \$? >$box/status
	echo o >/proc/sysrq-trigger
	sleep 60
END
chmod +x "$box/modprobe" "$box/init"

TMPDIR=/dev/shm timeout --foreground -k 10 "${UML_TIMEOUT:-1200}" linux.uml "mem=${UML_MEM:-1G}" rootfstype=hostfs rw \
	"init=$box/init" con=null con0=null,fd:1 loglevel=1 "umid=${box##*/}" </dev/null 2>"$box/boot" |
	sed -u -e '/^\(sysrq: Power\|reboot: Power\)/d'
if [ ! -s "$box/status" ]; then
	echo "$0: the command did not end (a limit of ${UML_TIMEOUT:-1200} s?); kernel ${modules##*/} said:" >&2
	tail -n 20 "$box/boot" >&2
	exit 125
fi
exit "$(cat "$box/status")"
