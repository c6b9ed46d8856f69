package main

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// small is a SPEC of four networks that take a fraction of a second each.
const small = `
examples: 200
net: mlp:8,6
epochs: 3
batch: 20
grid:
  lr: [0.1, 1.0e+30]
  seed: [1, 2]
ablation: {orders: 2, points: 4}
noise: {repeats: 2, scales: [0.5, 2]}
`

// records reads a CSV file, by the name of the column.
func records(t *testing.T, text string) (rows []map[string]string) {
	lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err)
	for _, line := range lines[1:] {
		row := map[string]string{}
		for j, name := range lines[0] {
			row[name] = line[j]
		}
		rows = append(rows, row)
	}
	return rows
}

// column is one column of such rows.
func column(rows []map[string]string, name string) (values []string) {
	for _, row := range rows {
		values = append(values, row[name])
	}
	return values
}

func TestSweep(t *testing.T) {
	s := newShell(t)
	s.write("small.yaml", small)
	out, _ := s.ok("sweep", "missing", "small.yaml")
	require.Equal(t, 4, strings.Count(out, "\n"))
	require.Contains(t, out, "\tlr 0.1, seed 2\n")
	out, log := s.ok("sweep", "run", "small.yaml", "--workers", "2")
	require.Regexp(t, `1 +lr 0.1, seed 2 +done +0\.\d+ +0\.\d+ +0\.\d+ +0\.\d+\n`, out)
	require.Regexp(t, `3 +lr 1e\+30, seed 2 +diverged +- +- +- +-\n`, out)
	require.Contains(t, log, "4 networks: 2 done, 2 diverged\n")
	require.Regexp(t, `network 0 \(lr 0.1, seed 1\): done, test accuracy 0\.\d+, AUC 0\.\d+, noise AUC 0\.\d+ \| sweep small: \d of 4 networks`, log)
	out, _ = s.ok("sweep", "status", "small.yaml")
	require.Contains(t, out, "4 networks: 2 done, 2 diverged")
	require.Contains(t, out, "the loss is not finite any more")
	out, _ = s.ok("sweep", "missing", "small.yaml")
	require.Empty(t, out)

	// Once more, nothing is computed. The sweep is known by its name now, and its networks are ordinary runs.
	_, log = s.ok("sweep", "run", "small")
	require.Equal(t, "4 networks: 2 done, 2 diverged\n", log)
	out, _ = s.ok("sweep", "export", "small", "--csv", "-", "--parquet", "t.parquet", "--json", "t.json")
	rows := records(t, out)
	require.Equal(t, []string{"done", "done", "diverged", "diverged"}, column(rows, "status"))
	require.Equal(t, []string{"1", "2", "1", "2"}, column(rows, "order_seed"))
	require.Empty(t, rows[2]["auc"])
	text, err := os.ReadFile(s.path("t.parquet"))
	require.NoError(t, err)
	require.Equal(t, "PAR1", string(text[:4]))

	// `directions train` with the same parameters names the same network: seeds have the same defaults.
	s.ok("train", "--examples", "200", "--net", "mlp:8,6", "--epochs", "3", "--batch", "20", "--lr", "0.1", "-q", "--name", "same")
	out, _ = s.ok("runs", "show", "same", "--json")
	require.Contains(t, out, `"key": "`+rows[0]["run"]+`"`)
	out, _ = s.ok("ablate", "same", "--orders", "2", "--points", "4", "--json", "-")
	require.Contains(t, out, `"auc":`+rows[0]["auc"])

	out, _ = s.ok("sweep", "list")
	require.Regexp(t, `small-[0-9a-f]{8} +4 +2 +2 +0 +0\n`, out)
	require.Regexp(t, `smoke +8 +mlp:64,64`, out)
	require.Regexp(t, `figure3-paper +200 +convnet +cifar10 +lr, init_seed, order_seed\n`, out)
	out, _ = s.ok("sweep", "missing", "figure4c-smoke")
	require.Equal(t, 12, strings.Count(out, "\n"))
	require.Contains(t, out, "\tlr 0.08, batch 40, seed 2\n")
	out, _ = s.ok("sweep", "example")
	s.write("example.yaml", strings.ReplaceAll(out, "momentum: 0.9", ""))
	s.ok("sweep", "missing", "example.yaml")
}

func TestSweepFailures(t *testing.T) {
	s := newShell(t)
	s.write("bad.yaml", small+"lrate: 3\n")
	require.Contains(t, s.fails("sweep", "run", "bad.yaml"), `bad.yaml: sweep: line 11: no key "lrate" in the sweep; allowed: name, data,`)
	require.Contains(t, s.fails("sweep", "run", "none.yaml"), "no such file")
	require.Contains(t, s.fails("sweep", "status", "none"), `no sweep "none"`)
	s.write("small.yaml", small)
	require.Contains(t, s.fails("sweep", "run", "small.yaml", "--shard", "3/2"), "shard 3/2")
	require.Contains(t, s.fails("sweep", "run", "small.yaml", "--shard", "1"), "written i/n")
	require.Contains(t, s.fails("sweep", "run", "small.yaml", "--workers", "0"), "--workers is 0")
	require.Contains(t, s.fails("sweep", "run", "small.yaml", "--backend", "cuda", "-q"), "a worker ended with exit status 1: ")
	out, _ := s.ok("sweep", "missing", "small.yaml")
	require.Equal(t, 4, strings.Count(out, "\n"), "no network is blamed for the lack of a backend")

	// One network that fails is named at the end, and can be tried again.
	s.write("fails.yaml", strings.Replace(strings.Replace(small, "net: mlp:8,6", "", 1), "  lr: [0.1, 1.0e+30]", "  net: ['mlp:8,6', 'mlp:8']", 1)+
		"lr: 0.1\nname: fails\n")
	text, err := os.ReadFile(s.path("fails.yaml"))
	require.NoError(t, err)
	s.write("fails.yaml", strings.Replace(string(text), "{orders: 2, ", "{sites: [fc2], orders: 2, ", 1))
	c, o, e := s.command("sweep", "run", "fails.yaml")
	require.Error(t, c.Run())
	require.Contains(t, o.String(), "failed")
	require.Contains(t, e.String(), "directions: 2 networks of sweep fails failed; ")
	out, _ = s.ok("sweep", "status", "fails")
	require.Contains(t, out, `no site "fc2"`)
	out, _ = s.ok("sweep", "retry", "fails.yaml")
	require.Contains(t, out, "2 networks failed")
	out, _ = s.ok("sweep", "status", "fails.yaml")
	require.Contains(t, out, "4 networks: 2 done, 2 missing")
}

// The command is killed with a worker in the middle of a network: the worker ends too, and the same command goes on.
func TestSweepKilled(t *testing.T) {
	s := newShell(t)
	s.write("long.yaml", strings.NewReplacer("epochs: 3", "epochs: 3000", ", 1.0e+30", "").Replace(small))
	for _, signal := range []os.Signal{syscall.SIGKILL, os.Interrupt} {
		c, _, log := s.command("sweep", "run", "long.yaml", "--workers", "2")
		require.NoError(t, c.Start())
		require.Eventually(t, func() bool {
			out, _ := s.ok("sweep", "status", "long.yaml")
			return strings.Count(out, " process ") == 2
		}, 60*time.Second, 50*time.Millisecond)
		require.NoError(t, c.Process.Signal(signal))
		require.Error(t, c.Wait())
		if signal == os.Interrupt {
			require.Equal(t, 130, c.ProcessState.ExitCode(), log)
			require.Contains(t, log.String(), "the same command goes on from there")
		}
		// Workers save, and give their claims back, when whoever started them is gone.
		require.Eventually(t, func() bool {
			out, _ := s.ok("sweep", "status", "long.yaml")
			return strings.Contains(out, "2 networks: 0 done, 2 missing") && !strings.Contains(out, "In work")
		}, 60*time.Second, 100*time.Millisecond)
		states, err := filepath.Glob(filepath.Join(s.home(), "runs", "*", "state.safetensors"))
		require.NoError(t, err)
		require.Len(t, states, 2)
	}
	c, _, _ := s.command("sweep", "work", "long.yaml", "--shard", "1/2")
	log, err := os.Create(s.path("log"))
	require.NoError(t, err)
	defer log.Close()
	c.Stderr = log
	require.NoError(t, c.Start())
	told := func(text string) bool {
		all, err := os.ReadFile(s.path("log"))
		return err == nil && strings.Contains(string(all), text)
	}
	require.Eventually(t, func() bool { return told("going on in epoch ") }, 60*time.Second, 20*time.Millisecond)
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Process.Signal(syscall.SIGTERM), "a second one does not keep it from saving")
	require.Error(t, c.Wait())
	require.True(t, told("network 0: interrupted; goes on from there"))
	require.False(t, told("network 1"), "it belongs to the other shard")
}
