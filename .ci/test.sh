#!/usr/bin/env bash
# .ci/test.sh [STAGE...]: the tests, as stages; all of them by default, in the order below.  SKIP="STAGE..." leaves some out.
# Ends with a line per stage; exit status 1 if one failed.  Needs ./install.sh to have run ("make test" sees to it).
#
#   format       gofmt
#   vet          go vet
#   staticcheck  staticcheck, at the version of go.mod
#   scripts      the shell and Python scripts parse
#   race         packages that do without GoMLX, and lab, whose meters many goroutines move, under the race detector
#   go           packages that use GoMLX, on the pure-Go backend
#   xla          the same on XLA's CPU plugin
#   static       a build with CGO_ENABLED=0: one static program, pure-Go backend
#   slurm        a sweep on a real Slurm of one node, started for it: as root, where slurm-wlm and munge are installed
#   notebooks    every notebook, at the smallest preset, in a store of its own
set -uo pipefail
cd "$(dirname "$0")/.." || exit
root=$PWD
home=${DIRECTIONS_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/directions}
export PATH="$root/.bin:$PATH" GOMLX_NO_AUTO_INSTALL=1
export PJRT_PLUGIN_LIBRARY_PATH="${PJRT_PLUGIN_LIBRARY_PATH:-$home/plugins}"

all="format vet staticcheck scripts race go xla static slurm notebooks"
cgo=$(go env CGO_ENABLED) # 0 also where there is no C compiler

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A stage returns 0, or 1, or calls skip with the reason.
skip() {
	echo "skipped: $1"
	return 77
}

# packages WITH_GOMLX: the packages whose tests, with all that they import, use GoMLX (1) or do not (0).
packages() {
	go list -test -f '{{.ImportPath}} {{join .Deps " "}}' ./... |
		awk -v want="$1" '{ name = $1; sub(/(_test|\.test)$/, "", name); if (!(name in uses)) uses[name] = 0 }
			/ github\.com\/gomlx\// { uses[name] = 1 }
			END { for (name in uses) if (uses[name] == want) print name }' | sort
}

stage_format() {
	local bad
	bad=$(gofmt -l bench cmd datasets pkg ./*.go) || return 1
	[ -z "$bad" ] || { echo "not as gofmt writes it (gofmt -w mends it): $bad" && return 1; }
}

stage_vet() { go vet ./...; }

stage_staticcheck() { go tool staticcheck ./...; }

stage_scripts() {
	local script
	for script in install.sh .ci/run .ci/test.sh .ci/slurm.sh; do bash -n $script || return 1; done
	for script in kernels/gonb/start.sh kernels/lab.sh notebooks/gonb.sh; do sh -n $script || return 1; done
	.venv/bin/python -c 'import ast, sys; [ast.parse(open(f).read()) for f in sys.argv[1:]]' kernels/nbtest.py bench/peers/*.py
}

stage_race() {
	local race=-race
	[ "$cgo" = 1 ] || { race='' && echo "without the race detector, which needs a C compiler"; }
	# shellcheck disable=SC2046 # import paths hold no spaces
	GOMLX_BACKEND=go go test $race -vet=off $(packages 0) ./pkg/lab
}

# shellcheck disable=SC2046
stage_go() { GOMLX_BACKEND=go go test -vet=off $(packages 1); }

stage_xla() {
	[ "$cgo" = 1 ] || { skip "XLA needs cgo and a C compiler"; return; }
	[ -f "$PJRT_PLUGIN_LIBRARY_PATH/pjrt_c_api_cpu_plugin.so" ] || { skip "no XLA plugin; ./install.sh fetches it"; return; }
	# One package at a time: XLA uses all cores.
	# shellcheck disable=SC2046
	GOMLX_BACKEND=xla:cpu go test -p 1 -vet=off $(packages 1)
}

stage_static() {
	CGO_ENABLED=0 go build ./... &&
		CGO_ENABLED=0 go build -o "$scratch/directions" ./cmd/directions &&
		"$scratch/directions" --help >/dev/null || return 1
	! ldd "$scratch/directions" >/dev/null 2>&1 || { echo "the program is not static" && return 1; }
}

# With REQUIRE_SLURM=1 a reason to skip is a failure.
stage_slurm() {
	local tool reason=''
	for tool in slurmctld slurmd sbatch munged python3; do
		command -v $tool >/dev/null || reason="no $tool; Debian has it in slurm-wlm, munge and python3"
	done
	[ "$(id -u)" = 0 ] || reason="Slurm's daemons start jobs as root only"
	if [ -n "$reason" ]; then
		[ -z "${REQUIRE_SLURM:-}" ] || { echo "REQUIRE_SLURM is set, but: $reason" && return 1; }
		skip "$reason"
		return
	fi
	go build -o "$scratch/directions" ./cmd/directions && .ci/slurm.sh "$scratch/directions"
}

stage_notebooks() {
	ls notebooks/*.ipynb >/dev/null 2>&1 || { skip "there are no notebooks"; return; }
	DIRECTIONS_PRESET=smoke DIRECTIONS_HOME="$scratch/home" \
		.venv/bin/python kernels/nbtest.py -o "$scratch/notebooks" -t 600 notebooks/*.ipynb
}

# ---- run them ------------------------------------------------------------------------------------------------------

# shellcheck disable=SC2086 # stages hold no spaces
[ $# -gt 0 ] || set -- $all
for stage in "$@"; do
	case " $all " in *" $stage "*) ;; *) echo "no stage '$stage'; choose from: $all" >&2 && exit 2 ;; esac
done
for stage in ${SKIP:-}; do
	case " $all " in *" $stage "*) ;; *) echo "SKIP: no stage '$stage'; choose from: $all" >&2 && exit 2 ;; esac
done

passed=0 failed=0 skipped=0 summary=''
for stage in "$@"; do
	echo "== $stage"
	start=$SECONDS
	case " ${SKIP:-} " in
	*" $stage "*) skip "SKIP names it" ;;
	*) "stage_$stage" ;;
	esac
	case $? in
	0) result=ok passed=$((passed + 1)) ;;
	77) result=skipped skipped=$((skipped + 1)) ;;
	*) result=FAILED failed=$((failed + 1)) ;;
	esac
	summary="$summary$(printf '%-12s %-8s %4d s' "$stage" $result $((SECONDS - start)))"$'\n'
done
echo
printf '%s' "$summary"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
