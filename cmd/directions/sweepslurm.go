package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/slurm"
	"github.com/seed-ea9a9d67/directions/pkg/sweep"
)

// slurmFlags are those of `sweep run` that have Slurm's tasks be the workers.
type slurmFlags struct {
	on      bool
	job     slurm.Job
	dry     bool
	tasks   int
	command *cobra.Command
}

func (f *slurmFlags) flags(c *cobra.Command) {
	f.command = c
	s := c.Flags()
	s.BoolVar(&f.on, "slurm", false, "submit an array job, whose tasks are the workers; they need this program\n"+
		"and the store at the same paths")
	s.StringVar(&f.job.Partition, "partition", "", "with --slurm: partition")
	s.StringVar(&f.job.Time, "time", "", "with --slurm: limit of a task, as sbatch takes it; what is not done by\n"+
		"then goes on in a new one")
	s.IntVar(&f.tasks, "array-size", 8, "with --slurm: tasks, at most one for each network that is missing")
	s.IntVar(&f.job.CPUs, "cpus", 0, "with --slurm: processors of each task")
	s.StringArrayVar(&f.job.Options, "sbatch", nil, "with --slurm: a further option of sbatch, for example\n"+
		"--sbatch=--gres=gpu:1; repeatable")
	s.BoolVar(&f.dry, "dry-run", false, "with --slurm: print the script and submit nothing")
}

// check reports flags that do not go together.
func (f *slurmFlags) check() error {
	changed := f.command.Flags().Changed
	for _, name := range []string{"partition", "time", "array-size", "cpus", "sbatch", "dry-run"} {
		if changed(name) && !f.on {
			return fmt.Errorf("--%s goes with --slurm; give that too, or leave --%s out", name, name)
		}
	}
	for _, name := range []string{"workers", "shard"} {
		if changed(name) && f.on {
			return fmt.Errorf("--%s and --slurm: the tasks of the array are the workers, and share out the work; leave --%s out",
				name, name)
		}
	}
	return positive(f.command, "array-size", "cpus")
}

// passed are the environment's settings that a worker elsewhere needs.
var passed = []string{"DIRECTIONS_DATA", "GOMLX_BACKEND", "PJRT_PLUGIN_LIBRARY_PATH"}

// runSlurm submits an array job for what is missing of a sweep.
func (a *app) runSlurm(ctx context.Context, s *sweep.Sweep, f *slurmFlags) error {
	rows, err := s.Rows()
	if err != nil {
		return err
	}
	missing := rows.Tally().Missing()
	if missing == 0 {
		fmt.Print(rows.Main().Text())
		return failures(s, rows)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	job := f.job
	job.Name, job.Tasks = jobName(s), min(f.tasks, missing)
	job.Command = append([]string{self}, a.sharedArguments(s)...)
	job.Log = filepath.Join(s.Dir(), "slurm", "%A_%a.log")
	job.Environment = map[string]string{}
	for _, name := range passed {
		if value, ok := os.LookupEnv(name); ok {
			job.Environment[name] = value
		}
	}
	script, err := job.Script()
	if err != nil {
		return err
	}
	if f.dry {
		fmt.Print(script)
		return nil
	}
	if err := s.Keep(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(job.Log), 0o755); err != nil {
		return err
	}
	id, err := slurm.Submit(ctx, script)
	if err != nil {
		return err
	}
	// The names of these files are the list of jobs that status asks Slurm about.
	if err := os.WriteFile(filepath.Join(s.Dir(), "slurm", id+".sh"), []byte(script), 0o644); err != nil {
		return fmt.Errorf("job %s is submitted, but status will not know of it: %w", id, err)
	}
	fmt.Printf("Submitted job %s: %d tasks for %d networks. `directions sweep status %s` shows how they are doing, "+
		"`scancel %s` ends them.\n", id, job.Tasks, missing, s.ID, id)
	return nil
}

func jobName(s *sweep.Sweep) string { return "directions-" + s.ID }

// tasks are the tasks of all jobs that were submitted for a sweep, by their label. note says what could not be found out.
func tasks(ctx context.Context, s *sweep.Sweep) (all []slurm.Task, note string, err error) {
	scripts, err := filepath.Glob(filepath.Join(s.Dir(), "slurm", "*.sh"))
	if err != nil || len(scripts) == 0 {
		return nil, "", err
	}
	var jobs []string
	for _, path := range scripts {
		jobs = append(jobs, strings.TrimSuffix(filepath.Base(path), ".sh"))
	}
	all, note, err = slurm.Tasks(ctx, jobName(s), jobs)
	if err != nil && !errors.Is(err, context.Canceled) {
		return nil, "nothing is known of Slurm's tasks: " + err.Error(), nil
	}
	return all, note, err
}

// taskTable lists tasks with the networks that they work on, by label of the task.
func taskTable(all []slurm.Task, networks map[string][]string) result.Table {
	t := result.Table{Title: "Slurm's tasks", Columns: columns("task", "state", "node", "time", "network", "reason")}
	for _, task := range all {
		in := strings.Join(networks[task.ID], ", ")
		t.Rows = append(t.Rows, []any{task.ID, task.State, task.Node, task.Time, in, task.Reason})
	}
	return t
}
