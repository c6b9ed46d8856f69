#!/usr/bin/env bash
# install.sh: sets Directions up in this clone.  ./install.sh --help says what goes where.
# Needs bash (3.2 will do), Go and Python.  Safe to interrupt and to run again: each step is skipped once it is done.
set -uo pipefail

usage() {
	cat <<'END'
./install.sh                 install, or bring up to date
./install.sh --gpu           also XLA's CUDA plugin and the NVIDIA libraries that it loads (about 3 GB; Linux)
./install.sh --user-kernel   also show the kernel to Jupyter installations outside this clone (a symbolic link)
./install.sh --check         change nothing; say for each piece whether it is ok, missing or outdated
./install.sh --uninstall     remove what was installed; data and runs stay

In this clone:
  .bin/      the command directions; gonb and goimports at the versions of go.mod
  .venv/     JupyterLab and what runs notebooks, at the versions of kernels/requirements.txt
In $DIRECTIONS_HOME (default ${XDG_DATA_HOME:-$HOME/.local/share}/directions):
  plugins/   XLA.  Where there is none for this machine, the pure-Go backend computes instead.
  nvidia/    with --gpu: CUDA and cuDNN libraries
Go keeps modules and compiled packages in its usual caches.  Nothing else is written.

Environment: PYTHON (the Python to use), DIRECTIONS_HOME, XDG_DATA_HOME.
END
}

root=$(cd "$(dirname "$0")" && pwd -P) || exit 1
cd "$root" || exit 1
home=${DIRECTIONS_HOME:-${XDG_DATA_HOME:-${HOME:?is not set}/.local/share}/directions}
case $home in
/*) ;;
*)
	echo "install.sh: DIRECTIONS_HOME (or XDG_DATA_HOME) leads to $home; write the folder's full path" >&2
	exit 2
	;;
esac
plugins=$home/plugins
export PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_USER
failed=0 # steps without which something does not work

# ---- saying what happens -------------------------------------------------------------------------------------------

tell() { printf '%-10s %s\n' "$1" "$2"; }
die() {
	printf 'install.sh: %s\n' "$1" >&2
	exit "${2:-1}"
}

# step NAME TEXT COMMAND...: one line, with the time taken; the command's own words only if it fails.
step() {
	local name=$1 text=$2 start=$SECONDS
	shift 2
	printf '%-10s %s ... ' "$name" "$text"
	if "$@" >"$log" 2>&1; then
		echo "done ($((SECONDS - start)) s)"
		return 0
	fi
	echo FAILED
	grep -v '^WARNING: Retrying' "$log" | tail -n 20 | sed 's/^/           | /'
	return 1
}

# ---- what this machine has -----------------------------------------------------------------------------------------

if command -v sha256sum >/dev/null; then
	sha256() { sha256sum "$@" | cut -d' ' -f1; }
else
	sha256() { shasum -a 256 "$@" | cut -d' ' -f1; } # macOS
fi

# at_least HAVE WANT: compares versions such as 1.26.5.
at_least() {
	awk -v have="$1" -v want="$2" 'BEGIN {
		h = split(have, a, "."); w = split(want, b, ".")
		for (i = 1; i <= 3; i++) { x = i <= h ? a[i] + 0 : 0; y = i <= w ? b[i] + 0 : 0; if (x != y) exit x < y }
		exit 0
	}'
}

# find_go sets go_version, the Go that builds here, and go_problem if there is none.
# A Go that is too old may fetch a newer one by itself (its GOTOOLCHAIN setting); then .bin/go has to lead there, since
# the notebooks' kernel uses the go that it finds and no other.
find_go() {
	go_want=$(awk '$1 == "go" { print $2; exit }' go.mod)
	go_version='' go_problem='' go_fetched=''
	local get="Get it from https://go.dev/dl/ and put it first on PATH."
	if ! command -v go >/dev/null; then
		go_problem="Go $go_want or newer is needed (go.mod) and there is no go on PATH. $get"
		return
	fi
	local found where
	where=$(command -v go)
	found=$(cd / && GOTOOLCHAIN=local go version 2>/dev/null | sed -n 's/^go version go\([0-9.]*\).*/\1/p')
	if [ -z "$found" ]; then
		go_problem="$where does not answer to 'go version'. Go $go_want or newer is needed. $get"
	elif at_least "$found" "$go_want"; then
		go_version=$found
	elif at_least "$found" 1.21 && [ "$1" = fetch ] && go_fetched=$(go env GOROOT 2>/dev/null) && [ -x "$go_fetched/bin/go" ] &&
		found=$(cd / && GOTOOLCHAIN=local "$go_fetched/bin/go" env GOVERSION) && at_least "${found#go}" "$go_want"; then
		go_version=${found#go}
	else
		go_problem="Go $go_want or newer is needed (go.mod); found Go $found, $where. $get"
	fi
}

# find_python sets python to one that can make the environment, or python_problem.
find_python() {
	python='' python_problem=''
	local p seen=''
	for p in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
		command -v "$p" >/dev/null || continue
		seen="$seen $p ($("$p" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || echo broken))"
		"$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
		if "$p" -c 'import venv, ensurepip' 2>/dev/null; then
			python=$p
			return
		fi
		python_problem="$p has no venv module or no ensurepip. Debian, Ubuntu: apt-get install python3-venv."
	done
	[ -n "$python_problem" ] ||
		python_problem="Python 3.11 or newer is needed for the notebooks; found${seen:- none}. PYTHON=/path/to/python3 names one."
}

# find_cc sets cc to a C compiler that makes programs (a compiler without headers does not), or cc_problem.
find_cc() {
	cc='' cc_problem=''
	if [ "${CGO_ENABLED:-1}" = 0 ]; then
		cc_problem="CGO_ENABLED=0 is set"
		return
	fi
	cc=$(command -v "$(go env CC 2>/dev/null || echo cc)") &&
		printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | "$cc" -x c - -o "$log.cc" 2>/dev/null && return
	cc='' cc_problem="no working C compiler (Debian, Ubuntu: apt-get install gcc libc6-dev; macOS: xcode-select --install)"
}

# plugin_for KIND: is there a plugin for this machine?
machine="$(uname -s)/$(uname -m)"
has_plugin() { case $machine in Linux/x86_64 | Linux/aarch64) ;; *) return 1 ;; esac }
plugin_file() { echo "$plugins/pjrt_c_api_$1_plugin.so"; }
plugin_sum() { sed -n "s/^# library $(uname -m) //p" "kernels/plugin-$1.txt"; }

# A stamp says what a finished step was made from.
stamped() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }
tools_stamp() { { echo "go$go_version" && cat go.mod go.sum; } | sha256; }
venv_stamp() { sha256 kernels/requirements.txt; }
plugin_stamp() { echo "$(plugin_sum "$1") $(wc -c <"$(plugin_file "$1")" | tr -d ' ')"; }

tools_ready() { stamped .bin/.stamp "$(tools_stamp)" && [ -x .bin/gonb ] && [ -x .bin/goimports ]; }
venv_ready() { stamped .venv/.stamp "$(venv_stamp)" && .venv/bin/python -c '' 2>/dev/null; }
plugin_ready() { [ -f "$(plugin_file "$1")" ] && stamped "$(plugin_file "$1").stamp" "$(plugin_stamp "$1")"; }
nvidia_ready() { stamped "$home/nvidia/.stamp" "$(sha256 kernels/nvidia.txt)"; }

jupyter_kernels() {
	case $(uname -s) in
	Darwin) echo "${JUPYTER_DATA_DIR:-$HOME/Library/Jupyter}/kernels" ;;
	*) echo "${JUPYTER_DATA_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/jupyter}/kernels" ;;
	esac
}

# ---- the steps -----------------------------------------------------------------------------------------------------

install_tools() {
	rm -f .bin/.stamp
	GOBIN="$root/.bin" go install github.com/janpfeifer/gonb golang.org/x/tools/cmd/goimports && tools_stamp >.bin/.stamp
}

# The command carries its commit where git can be asked; the packages are those that the cells use (same flags).
install_command() {
	local vcs=false
	! git status --porcelain >/dev/null 2>&1 || vcs=auto
	GOBIN="$root/.bin" GOFLAGS="$kernel_flags" go install -buildvcs=$vcs ./cmd/directions
}

install_venv() {
	rm -rf .venv
	"$python" -m venv .venv &&
		.venv/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r kernels/requirements.txt &&
		venv_stamp >.venv/.stamp
}

pip() { if [ -x .venv/bin/pip ]; then .venv/bin/python -m pip "$@"; else "${python:-python3}" -m pip "$@"; fi; }

# new_scratch FOLDER sets scratch to a new folder in it, and takes away what a killed install left there long ago.
new_scratch() {
	mkdir -p "$1" && find "$1" -maxdepth 1 -name '.new.*' -mmin +60 -exec rm -rf {} + &&
		scratch=$(mktemp -d "$1/.new.XXXXXX")
}

# install_plugin KIND: the library lies beside its final place until it is whole and checked.
install_plugin() {
	local file sum got
	file=$(plugin_file "$1") sum=$(plugin_sum "$1")
	if [ -f "$file" ] && [ "$(sha256 "$file")" = "$sum" ]; then # known, but its stamp is lost
		plugin_stamp "$1" >"$file.stamp"
		return
	fi
	new_scratch "$plugins" || return
	pip download --quiet --retries 2 --no-deps --require-hashes --only-binary :all: \
		--dest "$scratch" -r "kernels/plugin-$1.txt" &&
		"${python:-python3}" -m zipfile -e "$scratch"/*.whl "$scratch" || return
	got=$(sha256 "$scratch"/xla_plugins/*/*.so) || return
	if [ "$got" != "$sum" ]; then
		echo "the library has sha256 $got; kernels/plugin-$1.txt says $sum"
		return 1
	fi
	rm -f "$file.stamp"
	chmod 755 "$scratch"/xla_plugins/*/*.so && mv -f "$scratch"/xla_plugins/*/*.so "$file" &&
		plugin_stamp "$1" >"$file.stamp" && rm -rf "$scratch"
}

# install_nvidia: the CUDA plugin looks for its libraries in ../nvidia/{cu13,cudnn}/lib, seen from its own folder, and
# go-xla tells XLA that ../nvidia has bin/ptxas and nvvm/libdevice.  So LD_LIBRARY_PATH is not needed.
install_nvidia() {
	new_scratch "$home" || return
	pip install --quiet --no-deps --require-hashes --only-binary :all: --target "$scratch" -r kernels/nvidia.txt || return
	ln -s cu13/bin "$scratch/nvidia/bin" && ln -s cu13/nvvm "$scratch/nvidia/nvvm" &&
		sha256 kernels/nvidia.txt >"$scratch/nvidia/.stamp" || return
	rm -rf "$home/nvidia" && mv "$scratch/nvidia" "$home/nvidia" && rm -rf "$scratch"
}

install_user_kernel() {
	local dir link
	dir=$(jupyter_kernels) link=$(jupyter_kernels)/gonb
	if [ "$(readlink "$link" 2>/dev/null)" = "$root/kernels/gonb" ]; then
		tell kernel "$link leads here already"
	elif [ -e "$link" ] || [ -L "$link" ]; then
		tell kernel "NOT linked: $link exists (another GoNB or another clone?); move it away and run this again"
		failed=1
	elif mkdir -p "$dir" && ln -s "$root/kernels/gonb" "$link"; then
		tell kernel "linked as $link"
	else
		tell kernel "NOT linked: $link cannot be written"
		failed=1
	fi
}

lost_libraries() { ldd "$(plugin_file cuda)" 2>/dev/null | awk '/not found/ { printf " %s", $1 }'; }

do_install() {
	find_go fetch
	[ -z "$go_problem" ] || die "$go_problem"
	mkdir -p .bin || die "$root cannot be written"
	if [ -n "$go_fetched" ]; then
		ln -sf "$go_fetched/bin/go" .bin/go
		tell go "$go_version, fetched by the older go on PATH; .bin/go leads to it"
	else
		rm -f .bin/go
		tell go "$go_version (go.mod asks for $go_want)"
	fi
	export PATH="$root/.bin:$PATH" GOTOOLCHAIN=local
	find_cc
	if [ -n "$cc" ]; then
		tell compiler "$cc, for XLA"
	else
		export CGO_ENABLED=0
		tell compiler "$cc_problem: built without XLA; the pure-Go backend will be used"
	fi
	find_python

	if tools_ready; then
		tell tools "gonb, goimports: up to date"
	else
		step tools "gonb, goimports (a minute the first time)" install_tools || die "the tools of go.mod did not build"
	fi
	step packages "compiled with the notebooks' flags" env GOFLAGS="$kernel_flags" go build ./... || die "the packages do not build"
	step command ".bin/directions" install_command || die "the command does not build"

	if [ -n "$python_problem" ]; then
		tell jupyter "MISSING: $python_problem"
		failed=1
	elif venv_ready; then
		tell jupyter "JupyterLab in .venv: up to date"
	elif ! step jupyter "JupyterLab in .venv" install_venv; then
		tell jupyter "MISSING: notebooks will not run; .bin/directions will"
		failed=1
	fi

	if ! has_plugin; then
		tell xla "there is no plugin for $machine: the pure-Go backend will be used"
	elif [ -z "$cc" ]; then
		tell xla "skipped, since it needs a C compiler: the pure-Go backend will be used"
	elif plugin_ready cpu; then
		tell xla "$(plugin_file cpu): up to date"
	elif ! step xla "XLA's CPU plugin (60 MB) into $plugins" install_plugin cpu; then
		tell xla "the plugin could not be had: the pure-Go backend will be used (./install.sh tries again)"
	fi

	[ -z "$gpu" ] || do_gpu
	[ -z "$user_kernel" ] || install_user_kernel
	[ "$failed" = 0 ] || die "not all is installed; see above"
	tell ready "make demo, make lab, or .bin/directions --help"
}

do_gpu() {
	if ! has_plugin || [ -z "$cc" ]; then
		tell cuda "MISSING: --gpu needs Linux on x86_64 or aarch64 and a C compiler; this is $machine"
		failed=1
		return
	fi
	if plugin_ready cuda; then
		tell cuda "$(plugin_file cuda): up to date"
	elif ! step cuda "XLA's CUDA plugin (90 MB) into $plugins" install_plugin cuda; then
		failed=1
		return
	fi
	if nvidia_ready; then
		tell nvidia "$home/nvidia: up to date"
	elif ! step nvidia "CUDA 13.0 and cuDNN 9 (gigabytes) into $home/nvidia" install_nvidia; then
		failed=1
		return
	fi
	local lost
	lost=$(lost_libraries)
	if [ -n "$lost" ]; then
		tell cuda "MISSING:$lost (libcuda and libnvidia-* come with the NVIDIA driver, 580 or newer)"
		failed=1
	fi
}

do_check() {
	local bad=0
	report() { # report NAME STATE TEXT: ok | missing | outdated | without (something that can be done without)
		printf '%-10s %-9s %s\n' "$1" "$2" "$3"
		case $2 in ok | without) ;; *) bad=1 ;; esac
	}
	[ ! -x .bin/go ] || export PATH="$root/.bin:$PATH"
	find_go local
	if [ -n "$go_problem" ]; then report go missing "$go_problem"; else report go ok "$go_version"; fi
	find_cc
	if [ -n "$cc" ]; then report compiler ok "$cc"; else report compiler without "$cc_problem; the pure-Go backend is used"; fi
	find_python
	if [ -n "$python_problem" ]; then report python missing "$python_problem"; else report python ok "$(command -v "$python")"; fi

	if tools_ready; then
		report tools ok "gonb, goimports"
	elif [ -x .bin/gonb ] && [ -x .bin/goimports ]; then
		report tools outdated "go.mod or Go changed since"
	else
		report tools missing "gonb or goimports"
	fi
	if [ ! -x .bin/directions ]; then
		report command missing ".bin/directions"
	elif [ -n "$(find go.mod go.sum cmd pkg datasets -type f ! -name '*_test.go' -newer .bin/directions | head -n 1)" ]; then
		report command outdated ".bin/directions is older than its source"
	else
		report command ok ".bin/directions"
	fi
	if venv_ready; then
		report jupyter ok "$(.venv/bin/python -c 'import importlib.metadata as m; print("JupyterLab", m.version("jupyterlab"))')"
		if JUPYTER_PATH=$root .venv/bin/jupyter kernelspec list 2>/dev/null | grep -qF "$root/kernels/gonb"; then
			report kernel ok "kernels/gonb"
		else
			report kernel missing "Jupyter does not see kernels/gonb"
		fi
	elif [ -f .venv/.stamp ]; then
		report jupyter outdated "kernels/requirements.txt changed since, or .venv was moved"
	else
		report jupyter missing ".venv"
	fi

	local kind
	for kind in cpu cuda; do
		[ $kind = cpu ] || [ -n "$gpu" ] || [ -f "$(plugin_file $kind)" ] || continue
		if ! has_plugin; then
			report "xla:$kind" without "no plugin for $machine; the pure-Go backend is used"
		elif [ ! -f "$(plugin_file $kind)" ]; then
			report "xla:$kind" without "not installed; the pure-Go backend is used"
		elif [ "$(sha256 "$(plugin_file $kind)")" = "$(plugin_sum $kind)" ]; then
			report "xla:$kind" ok "$(plugin_file $kind)"
		else
			report "xla:$kind" outdated "$(plugin_file $kind) is not the one of kernels/plugin-$kind.txt"
		fi
		[ $kind = cuda ] && [ -f "$(plugin_file cuda)" ] || continue
		if ! nvidia_ready; then
			report nvidia missing "$home/nvidia, or outdated"
		elif [ -n "$(lost_libraries)" ]; then
			report nvidia missing "$(lost_libraries) (libcuda and libnvidia-* come with the driver)"
		else
			report nvidia ok "$home/nvidia"
		fi
	done
	[ $bad = 0 ] || echo "./install.sh${gpu:+ --gpu} brings it in order"
	exit $bad
}

do_uninstall() {
	local link
	for dir in .bin .venv; do
		[ ! -e $dir ] || tell remove "$root/$dir"
		rm -rf "${root:?}/$dir"
	done
	link=$(jupyter_kernels)/gonb
	if [ "$(readlink "$link" 2>/dev/null)" = "$root/kernels/gonb" ]; then
		tell remove "$link"
		rm -f "$link"
	fi
	for dir in "$plugins" "$home/nvidia"; do
		[ -e "$dir" ] || continue
		tell remove "$dir (every clone of this account uses it; ./install.sh brings it back)"
		rm -rf "$dir"
	done
	[ ! -d "$home" ] || rmdir "$home" 2>/dev/null || tell keep "$home: $(find "$home" -mindepth 1 -maxdepth 1 -exec basename {} \; | sort | tr '\n' ' ')"
	tell keep "Go's caches; 'go clean -cache -modcache' empties them for all projects"
}

# ---- options -------------------------------------------------------------------------------------------------------

action=install gpu='' user_kernel=''
for arg in "$@"; do
	case $arg in
	--gpu) gpu=yes ;;
	--user-kernel) user_kernel=yes ;;
	--check) action=check ;;
	--uninstall) action=uninstall ;;
	-h | --help)
		usage
		exit 0
		;;
	*) die "unknown option '$arg'; choose from --gpu --user-kernel --check --uninstall --help" 2 ;;
	esac
done

kernel_flags=$(sed -n 's/.*"GOFLAGS": *"\([^"]*\)".*/\1/p' kernels/gonb/kernel.json)
log=$(mktemp "${TMPDIR:-/tmp}/directions.XXXXXX") scratch=''
exec 3>&2 # step points 2 at the log
trap 'rm -rf "$log" "$log.cc" ${scratch:+"$scratch"}' EXIT
trap 'echo >&3; die "interrupted; ./install.sh goes on from here" 130 2>&3' INT
trap 'echo >&3; die "stopped; ./install.sh goes on from here" 143 2>&3' TERM HUP

case $action in
check) do_check ;;
uninstall) do_uninstall ;;
install)
	mkdir -p .bin || die "$root cannot be written"
	if command -v flock >/dev/null; then # one at a time in one clone
		exec 9>.bin/.lock
		flock -n 9 || { tell waiting "for another install.sh in this clone" && flock 9; }
	fi
	do_install
	;;
esac
