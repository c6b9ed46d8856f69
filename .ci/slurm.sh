#!/usr/bin/env bash
# .ci/slurm.sh PROGRAM: a sweep on a real Slurm.  Starts one with a single node, in a temporary folder, submits an array job for
# a sweep of tiny networks, kills one of its tasks without warning and requeues another in the middle, and compares the table
# with that of a sweep that nobody disturbed.  Needs root and Debian's slurm-wlm and munge; ends what it started.
set -euo pipefail
program=$(realpath "$1")
dir=$(mktemp -d)
pids=()
# Every daemon runs in the foreground of a shell of ours, so its number is known, and it ends with this script.
stop() {
	local i
	if [ -n "${job:-}" ]; then
		scancel "$job" >/dev/null 2>&1 || true
		for i in $(seq 100); do
			[ -n "$(squeue --noheader --jobs="$job" 2>/dev/null)" ] || break
			sleep 0.3
		done
	fi
	for ((i = ${#pids[@]} - 1; i >= 0; i--)); do # munged last: the others cannot end in peace without it
		kill "${pids[i]}" 2>/dev/null || true
		wait "${pids[i]}" 2>/dev/null || true
	done
	[ -z "${KEEP:-}" ] || { echo "kept: $dir" && return; }
	rm -rf "$dir"
}
trap stop EXIT
die() {
	echo "slurm: $1" >&2
	for log in "$dir"/*.log "$dir"/home/sweeps/*/slurm/*.log; do echo "== $log" && tail -n 20 "$log"; done >&2 || true
	exit 1
}
# until_true SECONDS WHAT COMMAND...: on a quiet machine all of it takes half a minute; the limits are for a busy one.
until_true() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || die "not in time: $what"
		sleep 0.2
	done
}

# ---- a Slurm -------------------------------------------------------------------------------------------------------

chmod 755 "$dir" # munge wants to know who could put files there
mkdir "$dir/munge" "$dir/state" "$dir/spool"
dd if=/dev/urandom of="$dir/munge/key" bs=128 count=1 status=none
chmod 600 "$dir/munge/key"
munged --foreground --socket="$dir/munge/socket" --key-file="$dir/munge/key" --pid-file="$dir/munge/pid" \
	--seed-file="$dir/munge/seed" --log-file="$dir/munge.log" >"$dir/munged.log" 2>&1 &
pids+=($!)
until_true 30 "munged answers" munge --no-input --socket="$dir/munge/socket"

read -r port1 port2 < <(python3 -c 'import socket
s = [socket.socket() for _ in range(2)]
for x in s: x.bind(("127.0.0.1", 0))
print(*(x.getsockname()[1] for x in s))')
node=$(hostname -s)
cat >"$dir/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$port1
SlurmdPort=$port2
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=20
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MinJobAge=600
SlurmdParameters=config_overrides
NodeName=$node NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=$node Default=YES MaxTime=INFINITE State=UP
END
export SLURM_CONF="$dir/slurm.conf"
slurmctld -D -c >"$dir/slurmctld.log" 2>&1 &
pids+=($!)
slurmd -D -N "$node" >"$dir/slurmd.log" 2>&1 &
pids+=($!)
until_true 60 "the node is idle" bash -c '[ "$(sinfo --noheader --format=%T)" = idle ]'

# ---- a sweep -------------------------------------------------------------------------------------------------------

cat >"$dir/tiny.yaml" <<END
examples: 300
net: mlp:12,8
epochs: 60
batch: 10
grid: {lr: [0.05, 0.1], seed: [1, 2, 3]}
ablation: {orders: 2, points: 5}
noise: {repeats: 2, scales: [0.5, 2]}
END
export GOMLX_BACKEND=go DIRECTIONS_DATA=
cd "$dir"
DIRECTIONS_HOME="$dir/home" "$program" sweep run tiny.yaml --slurm --partition main --time 10 --array-size 3 >submitted
export DIRECTIONS_HOME="$dir/home"
cat submitted
job=$(sed -n 's/^Submitted job \([0-9]*\):.*/\1/p' submitted)
status() { "$program" sweep status tiny.yaml; }
works() { status | grep -q "(task ${job}_$1) .*RUNNING"; }
state() { squeue --noheader --array --jobs="$job" --states=all --format='%K %T' | sed -n "s/^$1 //p"; }

# Task 0 is killed without warning, as if its node had failed; task 1 is requeued by Slurm. Both were in a network.
until_true 60 "two tasks work" bash -c "$(declare -f status works); program=$program job=$job; works 0 && works 1"
status
pid=$(status | sed -n "s/.* process \([0-9]*\) on .* (task ${job}_0).*/\1/p" | head -n 1)
case $(tr '\0' ' ' <"/proc/$pid/cmdline") in "$program sweep work"*) kill -9 "$pid" ;; *) die "process $pid is none of ours" ;; esac
scontrol requeue "${job}_1" # it waits until its credential has expired (cred_expire above)
until_true 240 "all networks have a row" bash -c "[ -z \"\$('$program' sweep missing tiny.yaml)\" ]"
until_true 180 "all tasks have ended" bash -c "[ -z \"\$(squeue --noheader --jobs=$job)\" ]"
status
[ "$(scontrol show job "${job}_1" | sed -n 's/.*Restarts=\([0-9]*\).*/\1/p')" = 1 ] || die "task 1 was not restarted"
[ "$(state 0)" = FAILED ] || die "task 0 is $(state 0), not FAILED: it was not killed"

# ---- the same, undisturbed -----------------------------------------------------------------------------------------

DIRECTIONS_HOME="$dir/calm" "$program" -q sweep run tiny.yaml --workers 2 >calm.txt
"$program" sweep run tiny.yaml --slurm >table.txt # nothing is left to submit
cmp calm.txt table.txt || { diff calm.txt table.txt >&2 || true; die "the tables differ"; }
cat table.txt
for home in home calm; do (cd "$home/runs" && sha256sum */weights.safetensors) >"$home.sums"; done
[ "$(wc -l <home.sums)" = 6 ] || die "there are $(wc -l <home.sums) networks, not 6"
cmp home.sums calm.sums || die "the weights differ"
echo "slurm: 6 networks by 3 tasks, one killed and one requeued; table and weights are those of an undisturbed sweep"
