// Package slurm writes and submits array jobs for Slurm, and asks how their tasks are doing. It runs Slurm's own commands
// (sbatch, squeue, sacct) and knows nothing of what the tasks do.
package slurm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Job is an array job whose tasks all run the same command. The command is to save its work and end when it gets SIGTERM, and
// to go on from there when it is started again: tasks are requeued when their node fails, when they are preempted, and shortly
// before their time is up.
type Job struct {
	Name        string
	Command     []string
	Tasks       int               // at least 1
	Partition   string            // empty: Slurm's default
	Time        string            // limit of a task, as Slurm writes it: "90", "1:30:00", "1-12"; empty: the partition's
	CPUs        int               // of each task; 0: Slurm's default
	Options     []string          // further options of sbatch, such as "--gres=gpu:1"
	Environment map[string]string // set for the command
	Log         string            // file of each task's output; %A is the job's number, %a the task's
}

// warning is how long before the end of its time a task is told, in seconds. Slurm may do so up to a minute earlier.
const warning = 60

var optionForm = regexp.MustCompile(`^--?[A-Za-z][^\n]*$`)

// Script is the job as sbatch takes it. Values that Slurm could not read are errors.
func (j Job) Script() (string, error) {
	if j.Tasks < 1 || len(j.Command) == 0 {
		return "", fmt.Errorf("slurm: %d tasks of command %q; at least one task and a command are needed", j.Tasks, j.Command)
	}
	if j.CPUs < 0 {
		return "", fmt.Errorf("slurm: %d processors for a task; at least 1 is needed (0 means Slurm's default)", j.CPUs)
	}
	for what, text := range map[string]string{"name": j.Name, "partition": j.Partition, "log": j.Log} {
		if strings.ContainsAny(text, "\n\"") {
			return "", fmt.Errorf("slurm: the %s is %q; line ends and quotes are not possible", what, text)
		}
	}
	var b strings.Builder
	b.WriteString("#!/bin/bash\n")
	option := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "#SBATCH --%s=\"%s\"\n", name, value)
		}
	}
	option("job-name", j.Name)
	option("array", fmt.Sprintf("0-%d", j.Tasks-1))
	option("partition", j.Partition)
	option("output", j.Log)
	if j.CPUs > 0 {
		option("cpus-per-task", strconv.Itoa(j.CPUs))
	}
	b.WriteString("#SBATCH --ntasks=1\n#SBATCH --requeue\n#SBATCH --open-mode=append\n")
	warned := true
	if j.Time != "" {
		limit, err := parseTime(j.Time)
		if err != nil {
			return "", err
		}
		option("time", j.Time)
		// With less, a task could be told to end as soon as it begins, for ever.
		warned = limit == 0 || limit >= 5*time.Minute
	}
	if warned {
		fmt.Fprintf(&b, "#SBATCH --signal=B:USR1@%d\n", warning)
	}
	for _, o := range j.Options {
		if !optionForm.MatchString(o) {
			return "", fmt.Errorf("slurm: %q is not an option of sbatch: --name=value", o)
		}
		fmt.Fprintf(&b, "#SBATCH %s\n", o)
	}
	for _, name := range slices.Sorted(maps.Keys(j.Environment)) {
		fmt.Fprintf(&b, "export %s=%s\n", name, quoted(j.Environment[name]))
	}
	b.WriteString(`# The time is nearly up: save, and go on later. A second signal would find nothing left to do.
requeue() {
	trap '' USR1
	kill -TERM "$worker"
	wait "$worker"
	scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
	exit 0
}
trap requeue USR1
trap 'kill -TERM "$worker" 2>/dev/null' TERM
`)
	for _, word := range j.Command {
		b.WriteString(quoted(word) + " ")
	}
	b.WriteString(`&
worker=$!
wait "$worker"
code=$?
while kill -0 "$worker" 2>/dev/null; do # a signal ends the waiting early
	wait "$worker"
	code=$?
done
exit $code
`)
	return b.String(), nil
}

// quoted is a word for the shell.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

var timeForm = regexp.MustCompile(`^(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?$`)

// parseTime reads a limit as Slurm does: minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes,
// days-hours:minutes:seconds. No limit, which Slurm calls 0 or UNLIMITED, is 0.
func parseTime(text string) (time.Duration, error) {
	if strings.EqualFold(text, "UNLIMITED") || strings.EqualFold(text, "INFINITE") {
		return 0, nil
	}
	f := timeForm.FindStringSubmatch(text)
	if f == nil {
		return 0, fmt.Errorf("slurm: time %q: write minutes, hours:minutes:seconds or days-hours, for example 90, 1:30:00 or 1-12",
			text)
	}
	var n [5]time.Duration
	for i, digits := range f {
		if i > 0 && digits != "" {
			x, err := strconv.Atoi(digits)
			if err != nil || x > 1e6 {
				return 0, fmt.Errorf("slurm: time %q is too long", text)
			}
			n[i] = time.Duration(x)
		}
	}
	switch {
	case f[1] != "":
		return n[1]*24*time.Hour + n[2]*time.Hour + n[3]*time.Minute + n[4]*time.Second, nil
	case f[4] != "":
		return n[2]*time.Hour + n[3]*time.Minute + n[4]*time.Second, nil
	}
	return n[2]*time.Minute + n[3]*time.Second, nil
}

// Submit submits a script and returns the number of the job.
func Submit(ctx context.Context, script string) (job string, err error) {
	out, err := run(ctx, script, "sbatch", "--parsable")
	if err != nil {
		return "", err
	}
	job, _, _ = strings.Cut(strings.TrimSpace(out), ";") // a cluster's name may follow
	if _, err := strconv.Atoi(job); err != nil {
		return "", fmt.Errorf("slurm: sbatch answered %q, not the number of a job", out)
	}
	return job, nil
}

// Task is a task of an array job, as Slurm sees it.
type Task struct {
	ID     string // job and task: "12_3"
	State  string // "RUNNING", "PENDING", "COMPLETED", "NODE_FAIL", …
	Node   string
	Time   string // that it has run
	Reason string // why it waits
}

// Running tells whether the task is on a node.
func (t Task) Running() bool { return t.State == "RUNNING" || t.State == "COMPLETING" }

// Tasks tells the state of all tasks of the jobs called name whose numbers are in jobs: from squeue those that wait or run,
// from sacct those that have ended. Where accounting is not set up, note says so, and those that have ended are not there.
func Tasks(ctx context.Context, name string, jobs []string) (tasks []Task, note string, err error) {
	out, err := run(ctx, "", "squeue", "--noheader", "--array", "--name="+name, "--format=%F_%K|%T|%N|%M|%r")
	if err != nil {
		return nil, "", err
	}
	tasks = parse(out, jobs)
	known := map[string]bool{}
	for _, t := range tasks {
		known[t.ID] = true
	}
	out, err = run(ctx, "", "sacct", "--allocations", "--noheader", "--parsable2", "--jobs="+strings.Join(jobs, ","),
		"--format=JobID,State,NodeList,Elapsed,Reason")
	if err != nil {
		return tasks, "tasks that have ended are not shown: " + err.Error(), nil
	}
	for _, t := range parse(out, jobs) {
		if !known[t.ID] {
			tasks = append(tasks, t)
		}
	}
	slices.SortStableFunc(tasks, func(a, b Task) int {
		x, y := numbers(a.ID), numbers(b.ID)
		return slices.Compare(x[:], y[:])
	})
	return tasks, "", nil
}

// parse reads lines of task, state, node, time and reason; those of other jobs, and of tasks that are not single, are left out.
func parse(text string, jobs []string) (tasks []Task) {
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 5 {
			continue
		}
		job, index, _ := strings.Cut(f[0], "_")
		if _, err := strconv.Atoi(index); err != nil || !slices.Contains(jobs, job) {
			continue
		}
		state, _, _ := strings.Cut(f[1], " ") // "CANCELLED by 1000"
		t := Task{ID: f[0], State: state, Node: f[2], Time: f[3], Reason: f[4]}
		if t.Node == "None assigned" {
			t.Node = ""
		}
		if t.Reason == "None" {
			t.Reason = ""
		}
		tasks = append(tasks, t)
	}
	return tasks
}

// numbers are job and task as numbers.
func numbers(id string) (n [2]int) {
	job, index, _ := strings.Cut(id, "_")
	n[0], _ = strconv.Atoi(job)
	n[1], _ = strconv.Atoi(index)
	return n
}

// run runs one of Slurm's commands. Its error says what the command said.
func run(ctx context.Context, input, name string, args ...string) (string, error) {
	if _, err := exec.LookPath(name); err != nil {
		return "", fmt.Errorf("slurm: there is no %s here: run this where Slurm's commands are, such as a login node", name)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	var out, words bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(input), &out, &words
	if err := c.Run(); err != nil {
		said := strings.TrimSpace(words.String())
		if said == "" {
			said = err.Error()
		}
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
		return "", fmt.Errorf("slurm: %s: %s (%w)", name, said, err)
	}
	return out.String(), nil
}
