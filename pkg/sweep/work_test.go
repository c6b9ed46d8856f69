package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/noise"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// The test program is a worker if it is told so.
const asWorker = "DIRECTIONS_TEST_AS_WORKER"

func TestMain(m *testing.M) {
	if id := os.Getenv(asWorker); id != "" {
		if err := worker(id); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// worker is a worker process as Local wants it.
func worker(id string) error {
	if strings.HasPrefix(id, "die") {
		return errors.New("the data set is not there")
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel(context.Canceled)
	}()
	w := &Watch{Tell: EventWriter(os.NewFile(3, "events"))}
	l, err := lab.Open(lab.Options{Progress: w.Progress(), Note: w.Note, SaveEvery: 50 * time.Millisecond})
	if err != nil {
		return err
	}
	s, err := Find(l, id)
	if err != nil {
		return err
	}
	return s.Work(ctx, WorkOptions{Wait: true, Deaths: -1, Watch: w})
}

// command is the command of a worker process on a store.
func command(home, id string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), asWorker+"="+id, "DIRECTIONS_HOME="+home, "GOMLX_BACKEND=go", "DIRECTIONS_DATA=")
	return c
}

func openLab(t *testing.T, home string) *lab.Lab {
	l, err := lab.Open(lab.Options{Home: home, Data: []string{}, Backend: "go"})
	require.NoError(t, err)
	return l
}

// tiny is a sweep of networks that take a fraction of a second each.
func tiny(axes ...Axis) Spec {
	s := Spec{Name: "tiny", Base: Base(), Grid: axes}
	s.Base.Net, s.Base.Examples = "mlp:8,6", 200
	s.Base.Fit.Epochs, s.Base.Fit.Batch, s.Base.Fit.Evaluate = 3, 20, 3
	s.Analyses = Analyses{
		Ablate: &ablate.Spec{Orders: 2, Points: 4, Seed: 1},
		Noise:  &noise.Spec{Repeats: 2, Scales: []float64{0.5, 2}, Seed: 1},
	}
	return s
}

func opened(t *testing.T, l *lab.Lab, spec Spec) *Sweep {
	s, err := Open(l, spec)
	require.NoError(t, err)
	return s
}

func rows(t *testing.T, s *Sweep) Rows {
	r, err := s.Rows()
	require.NoError(t, err)
	return r
}

func TestWork(t *testing.T) {
	ctx := context.Background()
	l := openLab(t, t.TempDir())
	s := opened(t, l, tiny(Axis{"lr", []any{0.1, 0.3}}, Axis{"seed", []any{1, 2}}))
	require.Equal(t, "4 networks: 0 done, 4 missing", rows(t, s).Tally().String())
	var told []Event
	w := &Watch{Tell: func(e Event) { told = append(told, e) }}

	// Two shards are the whole.
	require.NoError(t, s.Work(ctx, WorkOptions{Shard: Shard{2, 2}, Watch: w}))
	r := rows(t, s)
	require.Nil(t, r.Rows[0])
	require.NotNil(t, r.Rows[1])
	require.NoError(t, s.Work(ctx, WorkOptions{Shard: Shard{1, 2}, Wait: true}))
	r = rows(t, s)
	require.Equal(t, "4 networks: 4 done", r.Tally().String())
	require.Equal(t, []string{"begin", "end", "begin", "end"}, []string{told[0].What, told[1].What, told[2].What, told[3].What})
	require.Equal(t, []int{1, 1, 3, 3}, []int{told[0].Network, told[1].Network, told[2].Network, told[3].Network})

	// The rows say what the ordinary runs and analyses of the store say.
	for i, n := range s.Networks {
		run, err := l.Train(ctx, n.Spec, "")
		require.NoError(t, err)
		require.Equal(t, n.Run, run.Key)
		a, err := l.Ablate(ctx, run, lab.On{}, *s.Analyses.Ablate)
		require.NoError(t, err)
		z, err := l.Noise(ctx, run, lab.On{}, *s.Analyses.Noise)
		require.NoError(t, err)
		row := r.Rows[i]
		require.Equal(t, []any{*run.Final, a.AUC, a.AUCRelative, z.AUC(), 3, "go"},
			[]any{*row.Final, *row.AUC, *row.AUCRelative, *row.NoiseAUC, row.Epochs, row.Backend})
		require.InDelta(t, max(a.AUCs[0], a.AUCs[1])-min(a.AUCs[0], a.AUCs[1]), *row.AUCSD*1.4142135623730951, 1e-12, "s.d. of two")
		require.Nil(t, row.AUCHalfWidth)
		require.Positive(t, row.Seconds.Training*row.Seconds.Ablation*row.Seconds.Noise)
	}
	table := r.Table()
	test, err := table.Numbers("test_accuracy")
	require.NoError(t, err)
	require.Equal(t, r.Rows[2].Final.TestAccuracy, test[2])
	seeds, err := table.Numbers("init_seed")
	require.NoError(t, err)
	require.Equal(t, []float64{1, 2, 1, 2}, seeds)

	// Whatever is there is not computed again, nor is what a larger sweep has in common with this one.
	more := opened(t, l, tiny(Axis{"lr", []any{0.1, 0.3}}, Axis{"seed", []any{1, 2, 3}}))
	require.NotEqual(t, s.ID, more.ID)
	require.Equal(t, "6 networks: 4 done, 2 missing", rows(t, more).Tally().String())
	changed := tiny(Axis{"lr", []any{0.1, 0.3}}, Axis{"seed", []any{1, 2}})
	changed.Analyses.Ablate.Orders = 3
	require.Equal(t, "4 networks: 0 done, 4 missing", rows(t, opened(t, l, changed)).Tally().String())

	// The same ablation on test examples is one more number.
	tested := tiny(Axis{"seed", []any{1}})
	tested.Base.Fit.LR, tested.Analyses.Test = 0.3, &lab.On{Examples: 50}
	also := opened(t, l, tested)
	require.NoError(t, also.Work(ctx, WorkOptions{}))
	run, err := l.Train(ctx, also.Networks[0].Spec, "")
	require.NoError(t, err)
	a, err := l.Ablate(ctx, run, lab.On{Split: "test", Examples: 50}, *s.Analyses.Ablate)
	require.NoError(t, err)
	require.Equal(t, 50, a.Examples)
	row := rows(t, also).Rows[0]
	require.Equal(t, []float64{a.AUC, *r.Rows[2].AUC}, []float64{*row.AUCTest, *row.AUC})
	require.NotEqual(t, *row.AUC, *row.AUCTest)
	require.Nil(t, r.Rows[2].AUCTest)

	_, err = Find(l, more.ID)
	require.ErrorContains(t, err, "no sweep", "nobody has worked on it")
	require.NoError(t, more.Keep())
	require.NoError(t, opened(t, l, changed).Keep())

	// A sweep is found again by its ID, and by the beginning of it if that is clear.
	found, err := Find(l, s.ID)
	require.NoError(t, err)
	require.Equal(t, []any{s.Networks, s.Analyses, s.Name}, []any{found.Networks, found.Analyses, found.Name})
	_, err = Find(l, "tiny")
	require.ErrorContains(t, err, `4 sweeps begin with "tiny"`)
	_, err = Find(l, "other")
	require.ErrorContains(t, err, `no sweep "other" in `)
	ids, err := IDs(l)
	require.NoError(t, err)
	require.Len(t, ids, 4)
	require.ErrorContains(t, s.Work(ctx, WorkOptions{Shard: Shard{3, 2}}), "shard 3/2: part i of n")
}

// A sweep of trainings that follow their AUC, and of how long they wait for it to rise.
func TestFollowedTrainings(t *testing.T) {
	ctx := context.Background()
	l := openLab(t, t.TempDir())
	s := opened(t, l, tiny(Axis{"auc_every", []any{0, 1}}, Axis{"epochs", []any{3, 4}}))
	require.NoError(t, s.Work(ctx, WorkOptions{}))
	r := rows(t, s)
	require.Equal(t, "4 networks: 4 done", r.Tally().String())
	table := r.Table()
	for i, row := range r.Rows {
		at := func(name string) any {
			k := slices.IndexFunc(table.Columns, func(c result.Axis) bool { return c.Name == name })
			require.GreaterOrEqual(t, k, 0, name)
			return table.Rows[i][k]
		}
		if i < 2 {
			require.Equal(t, []any{nil, nil, nil}, []any{at("auc_every"), at("best_auc"), at("best_epoch")})
			continue
		}
		run, err := l.Train(ctx, s.Networks[i].Spec, "")
		require.NoError(t, err)
		highest, epoch := 0., 0
		for _, e := range run.History {
			if *e.AUC > highest {
				highest, epoch = *e.AUC, e.Epoch
			}
		}
		require.Positive(t, highest)
		require.Equal(t, []any{1, highest, epoch}, []any{at("auc_every"), at("best_auc"), at("best_epoch")})
		require.Equal(t, highest, *row.BestAUC)
	}
}

func TestWhatGoesWrong(t *testing.T) {
	ctx := context.Background()
	l := openLab(t, t.TempDir())
	// 1e30: the loss is no number after few steps. mlp:8 has no fc2.
	spec := tiny(Axis{"net", []any{"mlp:8,6", "mlp:8"}}, Axis{"lr", []any{0.1, 1e30}})
	spec.Analyses.Ablate.Sites = []string{"fc2"}
	s := opened(t, l, spec)
	require.NoError(t, s.Work(ctx, WorkOptions{Wait: true}))
	r := rows(t, s)
	require.Equal(t, "4 networks: 1 done, 2 diverged, 1 failed", r.Tally().String())
	require.Equal(t, []string{Done, Diverged, Failed, Diverged}, []string{r.Rows[0].Status, r.Rows[1].Status, r.Rows[2].Status, r.Rows[3].Status})
	require.Contains(t, r.Rows[1].Error, "the loss is not finite any more")
	require.Nil(t, r.Rows[1].Final)
	require.Contains(t, r.Rows[2].Error, `no site "fc2"`)
	require.NotNil(t, r.Rows[2].Final, "it was trained before the analysis failed")
	require.Nil(t, r.Rows[2].AUC)
	table := r.Table()
	for _, name := range []string{"train_loss", "test_accuracy", "auc", "noise_auc"} {
		column, err := table.Numbers(name)
		require.NoError(t, err)
		require.False(t, column[1] == column[1], "%s of a diverged network has no value", name)
	}
	require.NoError(t, table.WriteRecords(io.Discard))

	// What diverged is a result; what failed can be tried again.
	n, err := s.Retry()
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, "4 networks: 1 done, 2 diverged, 1 missing", rows(t, s).Tally().String())
	require.NoError(t, s.Work(ctx, WorkOptions{}))
	require.Equal(t, r.Rows[2].Error, rows(t, s).Rows[2].Error)

	// A network that kills its workers is given up.
	s = opened(t, l, tiny(Axis{"seed", []any{7}}))
	claim, _, err := s.claims.Claim(s.Networks[0].Key, "")
	require.NoError(t, err)
	require.NoError(t, claim.Release())
	file := filepath.Join(folder(l), "claims", s.Networks[0].Key, "000000001")
	require.NoError(t, os.WriteFile(file, []byte(`{"pid": 1, "deaths": 2}`), 0o644))
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(file, old, old))
	require.NoError(t, s.Work(ctx, WorkOptions{Deaths: 3}))
	row := rows(t, s).Rows[0]
	require.Equal(t, Failed, row.Status)
	require.Contains(t, row.Error, "3 workers in a row died of it")

	// Data that are nowhere stop the worker before any network fails.
	spec = tiny(Axis{"seed", []any{1, 2}})
	spec.Base.Data = "cifar10"
	s = opened(t, l, spec)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, s.Work(ended, WorkOptions{}), context.Canceled)
	require.Equal(t, "2 networks: 0 done, 2 missing", rows(t, s).Tally().String())
}

// A worker waits for the networks of others if it is told to, and leaves them alone if not.
func TestOthers(t *testing.T) {
	ctx := context.Background()
	l := openLab(t, t.TempDir())
	s := opened(t, l, tiny())
	claim, _, err := s.claims.Claim(s.Networks[0].Key, "other")
	require.NoError(t, err)
	require.NoError(t, s.Work(ctx, WorkOptions{}))
	require.Equal(t, 1, rows(t, s).Tally().Missing())
	holders, err := s.Workers()
	require.NoError(t, err)
	require.Equal(t, "other", holders[0].Label)
	time.AfterFunc(300*time.Millisecond, func() { _ = claim.Release() })
	require.NoError(t, s.Work(ctx, WorkOptions{Wait: true}))
	require.Zero(t, rows(t, s).Tally().Missing())
}

func TestLocalErrors(t *testing.T) {
	home := t.TempDir()
	s := opened(t, openLab(t, home), tiny())
	err := s.Local(context.Background(), LocalOptions{Workers: 2, Command: func() *exec.Cmd { return command(home, "die") }})
	require.ErrorContains(t, err, "a worker ended with exit status 1: the data set is not there")
	err = s.Local(context.Background(), LocalOptions{Workers: 2, Deaths: 2, Command: func() *exec.Cmd { return exec.Command("sh", "-c", "kill -9 $$") }})
	require.ErrorContains(t, err, "workers in a row were killed (the last one: signal: killed) and no network came to its end")
	require.ErrorContains(t, s.Local(context.Background(), LocalOptions{}), "0 workers; at least 1 is needed")
}

// killer starts workers and kills them at random moments, only those that it started itself.
type killer struct {
	mu    sync.Mutex
	rng   *rand.Rand
	kills int // signals sent; one may come too late
	want  int
}

func (k *killer) command(home, id string) *exec.Cmd {
	c := command(home, id)
	k.mu.Lock()
	defer k.mu.Unlock()
	// A worker takes up to some tenths of a second to begin, and about as long for a network.
	delay := time.Duration(k.rng.Float64() * float64(1200*time.Millisecond))
	time.AfterFunc(delay, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if c.Process != nil && k.kills < k.want && c.Process.Kill() == nil {
			k.kills++
		}
	})
	return c
}

// Workers are killed at random moments, 5 of them or DIRECTIONS_KILLS; nothing is lost, doubled or corrupted, and the table is
// that of a sweep that nobody disturbed.
func TestKills(t *testing.T) {
	if testing.Short() {
		t.Skip("many processes; leave out -short")
	}
	k := &killer{rng: rand.New(rand.NewPCG(1, 2)), want: 5}
	if n := os.Getenv("DIRECTIONS_KILLS"); n != "" {
		var err error
		k.want, err = strconv.Atoi(n)
		require.NoError(t, err)
	}
	spec := tiny(Axis{"lr", []any{0.1, 1e30}}, Axis{"seed", []any{1, 2, 3}})
	spec.Base.Fit.Checkpoints = []int{1, 2}
	calm := opened(t, openLab(t, t.TempDir()), spec)
	require.NoError(t, calm.Work(context.Background(), WorkOptions{}))
	want := untimed(rows(t, calm))
	rounds, killed := 0, 0
	for ; killed < k.want; rounds++ { // a round whose networks are all done has nobody left to kill
		k.kills = killed
		home := t.TempDir()
		l := openLab(t, home)
		s := opened(t, l, spec)
		ends := map[int]int{}
		err := s.Local(context.Background(), LocalOptions{
			Workers: 2, Deaths: -1, Command: func() *exec.Cmd { return k.command(home, s.ID) },
			Tell: func(_ int, e Event) {
				switch {
				case e.What == "end" && e.Status != "":
					ends[e.Network]++
				case strings.Contains(e.Text, "was killed"):
					killed++
				}
			},
		})
		require.NoError(t, err)
		require.Equal(t, want, untimed(rows(t, s)), "nothing lost, and the same numbers")
		for network, n := range ends {
			require.Equal(t, 1, n, "network %d was recorded twice", network)
		}
		intact(t, l, s)
	}
	t.Logf("%d workers killed in %d rounds of %d networks", killed, rounds, len(calm.Networks))
}

// untimed is the table as text without the columns of seconds.
func untimed(r Rows) string {
	t := r.Table()
	out := result.Table{Title: t.Title}
	for j, c := range t.Columns {
		if strings.HasPrefix(c.Name, "seconds") {
			continue
		}
		out.Columns = append(out.Columns, c)
		for i := range t.Rows {
			if len(out.Columns) == 1 {
				out.Rows = append(out.Rows, nil)
			}
			out.Rows[i] = append(out.Rows[i], t.Rows[i][j])
		}
	}
	var b strings.Builder
	if err := out.WriteRecords(&b); err != nil {
		panic(err)
	}
	return b.String()
}

// intact reads everything in the store: each file is whole, none is half done, and there is nothing that should not be.
func intact(t *testing.T, l *lab.Lab, s *Sweep) {
	runs, err := l.Runs()
	require.NoError(t, err)
	trained := 0
	for _, row := range rows(t, s).Rows {
		if row.Status == Done {
			trained++
		}
	}
	require.Len(t, runs, trained)
	results, err := l.Store().Results()
	require.NoError(t, err)
	require.Len(t, results, len(s.Networks)+2*trained, "a row each, and two analyses of those that were trained")
	for _, e := range results {
		require.False(t, e.Partial)
		var any json.RawMessage
		_, ok, err := l.Store().Get(e.Key, &any)
		require.NoError(t, err)
		require.True(t, ok)
	}
	holders, err := s.Workers()
	require.NoError(t, err)
	for _, h := range holders { // a worker may be killed between its last row and the end of its claim
		require.False(t, h.Alive)
	}
}
