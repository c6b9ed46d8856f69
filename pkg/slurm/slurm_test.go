package slurm

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestScript(t *testing.T) {
	j := Job{
		Name: "sweep", Command: []string{"/bin/a b", "it's"}, Tasks: 4, Partition: "short", Time: "1:30:00", CPUs: 2,
		Options: []string{"--mem=4G"}, Environment: map[string]string{"B": "x y", "A": "1"}, Log: "/tmp/%A_%a.log",
	}
	text, err := j.Script()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(text, `#!/bin/bash
#SBATCH --job-name="sweep"
#SBATCH --array="0-3"
#SBATCH --partition="short"
#SBATCH --output="/tmp/%A_%a.log"
#SBATCH --cpus-per-task="2"
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --time="1:30:00"
#SBATCH --signal=B:USR1@60
#SBATCH --mem=4G
export A='1'
export B='x y'
`), text)
	require.Contains(t, text, `'/bin/a b' 'it'\''s' &`)

	j.Time = "4"
	text, err = j.Script()
	require.NoError(t, err)
	require.NotContains(t, text, "USR1@", "there is no room for a warning in 4 minutes")

	for want, change := range map[string]func(*Job){
		"0 tasks":                   func(j *Job) { j.Tasks = 0 },
		"command []":                func(j *Job) { j.Command = nil },
		"-1 processors":             func(j *Job) { j.CPUs = -1 },
		`time "soon"`:               func(j *Job) { j.Time = "soon" },
		"the partition is":          func(j *Job) { j.Partition = "a\nb" },
		`"mem=4G" is not an option`: func(j *Job) { j.Options = []string{"mem=4G"} },
	} {
		bad := j
		change(&bad)
		_, err := bad.Script()
		require.ErrorContains(t, err, want)
	}
}

func TestTime(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90": 90 * time.Minute, "90:30": 90*time.Minute + 30*time.Second, "1:30:00": 90 * time.Minute, "2-3": 51 * time.Hour,
		"2-3:04": 51*time.Hour + 4*time.Minute, "0-0:0:7": 7 * time.Second, "UNLIMITED": 0, "0": 0,
	} {
		got, err := parseTime(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "1h", "-5", "1:2:3:4", "1-", "99999999999999999999"} {
		_, err := parseTime(text)
		require.Error(t, err, text)
	}
}

// The script hands signals on: run by a shell as Slurm would.
func TestScriptAndSignals(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755))
	}
	write("scontrol", "#!/bin/sh\necho \"$@\" >>"+dir+"/requeued\n")
	write("worker", "#!/bin/bash\ntrap 'echo saved; exit 130' TERM\necho begun >"+dir+"/begun\nwhile :; do sleep 0.05; done\n")
	text, err := Job{Name: "a", Command: []string{filepath.Join(dir, "worker")}, Tasks: 1}.Script()
	require.NoError(t, err)
	write("script", text)
	for _, test := range []struct {
		signal   syscall.Signal
		code     int
		requeued string
	}{{syscall.SIGTERM, 130, ""}, {syscall.SIGUSR1, 0, "requeue 12_3\n"}} {
		os.Remove(filepath.Join(dir, "begun"))
		c := exec.Command("bash", filepath.Join(dir, "script"))
		c.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "SLURM_ARRAY_JOB_ID=12", "SLURM_ARRAY_TASK_ID=3")
		var out strings.Builder
		c.Stdout = &out
		require.NoError(t, c.Start())
		require.Eventually(t, func() bool {
			_, err := os.Stat(filepath.Join(dir, "begun"))
			return err == nil
		}, 20*time.Second, 10*time.Millisecond)
		require.NoError(t, c.Process.Signal(test.signal))
		_ = c.Wait()
		require.Equal(t, test.code, c.ProcessState.ExitCode(), test.signal)
		require.Equal(t, "saved\n", out.String(), test.signal)
		requeued, _ := os.ReadFile(filepath.Join(dir, "requeued"))
		require.Equal(t, test.requeued, string(requeued))
	}
}

// Slurm's commands, as scripts that answer what Slurm 22.05 and 23.11 answer.
func TestTasks(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	answer := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755))
	}
	answer("squeue", "cat <<'END'\n12_10|PENDING||0:00|Resources\n12_2|RUNNING|n1|1:02|None\n13_0|RUNNING|n2|5:00|None\n9_N/A|RUNNING|n3|1|None\nEND\n")
	answer("sacct", "cat <<'END'\n12_0|COMPLETED|n1|00:00:09|None\n12_1|CANCELLED by 0|n1|00:01:00|None\n12_2|RUNNING|n1|00:01:02|None\n"+
		"12_[11-12]|PENDING|None assigned|00:00:00|None\n12_3|NODE_FAIL|n4|00:02:00|None\nEND\n")
	tasks, note, err := Tasks(context.Background(), "a", []string{"12"})
	require.NoError(t, err)
	require.Empty(t, note)
	require.Equal(t, []Task{
		{"12_0", "COMPLETED", "n1", "00:00:09", ""}, {"12_1", "CANCELLED", "n1", "00:01:00", ""}, {"12_2", "RUNNING", "n1", "1:02", ""},
		{"12_3", "NODE_FAIL", "n4", "00:02:00", ""}, {"12_10", "PENDING", "", "0:00", "Resources"},
	}, tasks)
	require.True(t, tasks[2].Running())
	require.False(t, tasks[0].Running())

	answer("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1\n")
	tasks, note, err = Tasks(context.Background(), "a", []string{"12", "13"})
	require.NoError(t, err)
	require.Contains(t, note, "not shown: slurm: sacct: Slurm accounting storage is disabled")
	require.Len(t, tasks, 3)
	answer("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1\n")
	_, _, err = Tasks(context.Background(), "a", []string{"12"})
	require.ErrorContains(t, err, "squeue: slurm_load_jobs error: Unable to contact")

	answer("sbatch", "test \"$1\" = --parsable && cat >"+dir+"/got && echo '14;cluster'\n")
	job, err := Submit(context.Background(), "#!/bin/bash\n")
	require.NoError(t, err)
	require.Equal(t, "14", job)
	got, err := os.ReadFile(filepath.Join(dir, "got"))
	require.NoError(t, err)
	require.Equal(t, "#!/bin/bash\n", string(got))
	answer("sbatch", "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1\n")
	_, err = Submit(context.Background(), "")
	require.ErrorContains(t, err, "invalid partition specified: x")
	t.Setenv("PATH", dir+"/nothing")
	_, err = Submit(context.Background(), "")
	require.ErrorContains(t, err, "there is no sbatch here")
}
