#!/bin/sh
# Starts the notebook kernel: Jupyter runs this with the connection file.  It lies in <clone>/kernels/gonb/, where a
# symbolic link to that folder will do and a copy will not.
# It ends when its parent does (setpriv, Linux only), and takes with it what the notebook started and its temporary files.
set -u

if [ -z "${GONB_SUPERVISED-}" ] && command -v setpriv >/dev/null; then
	GONB_SUPERVISED=1 exec setpriv --pdeathsig TERM "$0" "$@"
fi
unset GONB_SUPERVISED

root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
PATH=$root/.bin:$PATH
TMPDIR=$(mktemp -d -t gonb.XXXXXX)
export PATH TMPDIR

# For cells that open a GoMLX backend themselves: where install.sh puts plugins, and no downloads.
plugins=${DIRECTIONS_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/directions}/plugins
if [ -d "$plugins" ]; then : "${PJRT_PLUGIN_LIBRARY_PATH:=$plugins}" && export PJRT_PLUGIN_LIBRARY_PATH; fi
: "${GOMLX_NO_AUTO_INSTALL:=1}" && export GOMLX_NO_AUTO_INSTALL

bye() {
	trap - EXIT
	trap '' TERM INT HUP # the parent's death may be signalled more than once
	rm -rf "$TMPDIR"
	[ "$(ps -o pgid= -p $$ | tr -d ' ')" != $$ ] || kill -KILL 0 # the whole session, if it is ours alone
}
trap bye EXIT
trap 'exit 143' TERM INT HUP

if ! command -v gonb >/dev/null; then
	echo "start.sh: no gonb in $root/.bin; run $root/install.sh" >&2
	exit 1
fi
gonb --kernel "$1" -raw_error=true &
wait $!
