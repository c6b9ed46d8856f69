package fit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/nets"
)

// countdown is a context that ends when it has been asked a number of times whether it has ended.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func after(asked int) *countdown { return &countdown{context.Background(), asked} }

func TestInterruptedAnywhereEndsWithTheSameBits(t *testing.T) {
	for name, spec := range map[string]Spec{"sgd": sgd(), "adam": adam()} {
		t.Run(name, func(t *testing.T) {
			if name == "adam" && testing.Short() && open(t).Kind != "go" {
				t.Skip("seconds of compilation; run without -short, or with GOMLX_BACKEND=go")
			}
			spec.Epochs, spec.Checkpoints = 2, []int{0, 1}
			opt := Options{Dir: t.TempDir(), Key: "k"}
			full := after(1 << 30)
			want, err := train(t, full, spec, opt)
			require.NoError(t, err)
			points := 1<<30 - full.left
			stride, calls := 1, 6+1 // of 1, 2, 4, 8, 16 and 13 steps, then of 44
			if open(t).Kind == "go" {
				stride, calls = 5, 2*44
			}
			require.Greater(t, points, calls, "it looks before every call")
			if testing.Short() {
				stride *= 3
			}
			begun := map[string]int{}
			for point := 0; point < points; point += stride {
				var notes []string
				total := 0
				again := Options{
					Dir: t.TempDir(), Key: "k",
					Note:    func(text string) { notes = append(notes, text) },
					Advance: func(n int) { total += n },
				}
				r, err := train(t, after(point), spec, again)
				require.ErrorIs(t, err, context.Canceled)
				require.ErrorContains(t, err, fmt.Sprintf("training stopped in epoch %d of at most %d", total+1, spec.Epochs))
				require.Nil(t, r.Weights)
				require.Equal(t, want.History[:total], append([]Epoch{}, r.History...))
				require.Empty(t, notes)

				total = 0
				got, err := train(t, context.Background(), spec, again)
				require.NoError(t, err)
				requireSame(t, want, got, "interrupted at point %d", point)
				require.Equal(t, spec.Epochs, total, "epochs of earlier sessions are told of too")
				require.Greater(t, got.Seconds, r.Seconds)
				require.Len(t, notes, 1)
				require.Regexp(t, `^going on in epoch \d \(step \d+\)$`, notes[0])
				begun[notes[0]]++
				for _, e := range spec.Checkpoints {
					a, err := os.ReadFile(filepath.Join(opt.Dir, CheckpointFile(e)))
					require.NoError(t, err)
					b, err := os.ReadFile(filepath.Join(again.Dir, CheckpointFile(e)))
					require.NoError(t, err)
					require.True(t, bytes.Equal(a, b), "checkpoint %d", e)
				}
			}
			if stride == 1 {
				require.Len(t, begun, calls+spec.Epochs, "before every call and every measurement: %v", begun)
			}

			again := Options{Dir: t.TempDir(), Key: "k"}
			sessions := 0
			for got, err := train(t, after(points/4), spec, again); ; got, err = train(t, after(points/4), spec, again) {
				sessions++
				if err == nil {
					requireSame(t, want, got, "interrupted again and again")
					break
				}
				require.ErrorIs(t, err, context.Canceled)
			}
			require.Greater(t, sessions, 3)
		})
	}
}

const childFolder = "DIRECTIONS_TEST_FIT_CHILD" // tells this program to train there, as a process that can be killed

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child trains, saving its state at every call, and leaves result.safetensors.
func child(dir string) error {
	var spec Spec
	text, err := os.ReadFile(filepath.Join(dir, "spec.json"))
	if err == nil {
		err = json.Unmarshal(text, &spec)
	}
	if err != nil {
		return err
	}
	b, err := openBackend()
	if err != nil {
		return err
	}
	net, data, test := toy()
	r, err := Train(context.Background(), b, net, data, test, spec, Options{Dir: dir, Key: "k", SaveEvery: -1})
	if err != nil {
		return err
	}
	history, err := json.Marshal(r.History)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := nets.WriteSafetensors(&out, r.Weights, map[string]string{"history": string(history)}); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "result.safetensors"), out.Bytes(), 0o644)
}

func TestKilledAgainAndAgainEndsWithTheSameBits(t *testing.T) {
	program, err := os.Executable()
	require.NoError(t, err)
	kills, epochs := 5, 8
	if testing.Short() {
		kills = 2
	}
	if open(t).Kind != "go" {
		kills, epochs = 1, 40 // each new process compiles; a call takes many steps
		if testing.Short() {
			t.Skip("several processes that compile; run without -short, or with GOMLX_BACKEND=go")
		}
	}
	for name, spec := range map[string]Spec{"sgd": sgd(), "adam": adam()} {
		t.Run(name, func(t *testing.T) {
			if name == "adam" && open(t).Kind != "go" {
				t.Skip("compilation again; GOMLX_BACKEND=go runs it")
			}
			spec.Epochs, spec.Evaluate, spec.Checkpoints = epochs, 7, []int{0, 5, epochs}
			want := mustTrain(t, spec, Options{Dir: t.TempDir(), Key: "k"})
			dir := t.TempDir()
			text, err := json.Marshal(spec)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "spec.json"), text, 0o644))
			state := filepath.Join(dir, StateFile)
			rng := rand.New(rand.NewPCG(1, 1))
			killed := 0
			for done := false; !done; {
				var output bytes.Buffer
				c := exec.Command(program)
				c.Env = append(os.Environ(), childFolder+"="+dir)
				c.Stdout, c.Stderr = &output, &output
				before, _ := os.Stat(state)
				require.NoError(t, c.Start())
				ended := make(chan error, 1)
				go func() { ended <- c.Wait() }()
				moved := func() bool {
					now, err := os.Stat(state)
					return err == nil && (before == nil || !os.SameFile(now, before))
				}
				for killed < kills && !moved() && len(ended) == 0 {
					time.Sleep(time.Millisecond)
				}
				if killed < kills && len(ended) == 0 {
					time.Sleep(time.Duration(rng.IntN(30)) * time.Millisecond)
					_ = c.Process.Kill() // SIGKILL: nothing can be tidied up
				}
				err := <-ended
				if done = err == nil; !done {
					require.Equal(t, "signal: killed", err.Error(), output.String())
					killed++
				}
			}
			require.Positive(t, killed)
			t.Logf("killed %d times", killed)
			weights, metadata, err := nets.LoadSafetensors(filepath.Join(dir, "result.safetensors"))
			require.NoError(t, err)
			got := Result{Weights: weights}
			require.NoError(t, json.Unmarshal([]byte(metadata["history"]), &got.History))
			requireSame(t, want, got)
			last, _, err := nets.LoadSafetensors(filepath.Join(dir, CheckpointFile(epochs)))
			require.NoError(t, err)
			require.NoError(t, sameBits(weights, last))
		})
	}
}

// interrupted leaves the state of a training in dir that was interrupted in its second epoch.
func interrupted(t *testing.T, dir string) []byte {
	calls := 7 // see TestInterruptedAnywhereEndsWithTheSameBits
	if open(t).Kind == "go" {
		calls = 60
	}
	_, err := train(t, after(calls), sgd(), Options{Dir: dir, Key: "mine"})
	require.ErrorIs(t, err, context.Canceled)
	text, err := os.ReadFile(filepath.Join(dir, StateFile))
	require.NoError(t, err)
	return text
}

// tamper rewrites the state in dir with a valid checksum.
func tamper(t *testing.T, dir string, change func(p *progress, arrays map[string]nets.Array)) {
	path := filepath.Join(dir, StateFile)
	arrays, metadata, err := nets.LoadSafetensors(path)
	require.NoError(t, err)
	var p progress
	require.NoError(t, json.Unmarshal([]byte(metadata["progress"]), &p))
	change(&p, arrays)
	text, err := json.Marshal(p)
	require.NoError(t, err)
	var out bytes.Buffer
	metadata = map[string]string{"progress": string(text), "sha256": checksum(string(text), arrays)}
	require.NoError(t, nets.WriteSafetensors(&out, arrays, metadata))
	require.NoError(t, os.WriteFile(path, out.Bytes(), 0o644))
}

func TestStateOfAnotherRun(t *testing.T) {
	dir := t.TempDir()
	text := interrupted(t, dir)
	_, err := train(t, context.Background(), sgd(), Options{Dir: dir, Key: "another"})
	path := filepath.Join(dir, StateFile)
	require.EqualError(t, err,
		"training: "+path+` is the state of another run (key "mine", wanted "another"); delete it to start over`)
	now, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, now, "it is left alone")
}

func TestDamagedState(t *testing.T) {
	dir := t.TempDir()
	text := interrupted(t, dir)
	path := filepath.Join(dir, StateFile)
	says := func(damaged []byte) string {
		require.NoError(t, os.WriteFile(path, damaged, 0o644))
		_, err := train(t, context.Background(), sgd(), Options{Dir: dir, Key: "mine"})
		require.Error(t, err)
		require.ErrorContains(t, err, "training: the saved state "+path+" cannot be read: ")
		require.ErrorContains(t, err, "delete it to start over")
		return err.Error()
	}
	for _, n := range []int{0, 1, 8, 100, len(text) / 2, len(text) - 1} {
		says(text[:n])
	}
	says(append(slices.Clone(text), 0))
	flip := func(at int) []byte {
		damaged := slices.Clone(text)
		damaged[at] ^= 1
		return damaged
	}
	require.Contains(t, says(flip(len(text)-1)), "its content does not match its checksum")
	step := bytes.Index(text, []byte(`\"step\":`)) + len(`\"step\":`)
	require.Contains(t, says(flip(step)), "its content does not match its checksum")
	rng := rand.New(rand.NewPCG(1, 1))
	for range 100 {
		says(flip(rng.IntN(len(text))))
	}
	var other bytes.Buffer
	require.NoError(t, nets.WriteSafetensors(&other, nil, nil))
	says(other.Bytes())

	require.NoError(t, os.Remove(path))
	requireSame(t, mustTrain(t, sgd(), Options{}), mustTrain(t, sgd(), Options{Dir: dir, Key: "mine"}), "deleted, as the error says")
}

func TestStateThatDoesNotFit(t *testing.T) {
	type arrays = map[string]nets.Array
	for says, change := range map[string]func(p *progress, a arrays){
		`has done 1 epochs of 44 steps, but stands at step 43; delete it`: func(p *progress, _ arrays) { p.Step = 43 },
		`has done 1 epochs of 44 steps, but stands at step 89; delete it`: func(p *progress, _ arrays) { p.Step = 89 },
		`has done 0 epochs of 44 steps, but stands at step `:              func(p *progress, _ arrays) { p.History = nil },
		`has no "fc1.bias" of shape [8]; delete it to start over`:         func(_ *progress, a arrays) { delete(a, "fc1.bias") },
		`has no "optimizer.velocity.fc1.bias" of shape [8]; delete it`: func(_ *progress, a arrays) {
			delete(a, "optimizer.velocity.fc1.bias")
		},
		`has no "logits.weight" of shape [3 8]; delete it to start over`: func(_ *progress, a arrays) {
			a["logits.weight"] = nets.Array{Shape: []int{8, 3}, Data: a["logits.weight"].Data}
		},
	} {
		dir := t.TempDir()
		interrupted(t, dir)
		tamper(t, dir, change)
		_, err := train(t, context.Background(), sgd(), Options{Dir: dir, Key: "mine"})
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, filepath.Join(dir, StateFile))
	}
}

func TestStateOfAnotherBackend(t *testing.T) {
	dir := t.TempDir()
	interrupted(t, dir)
	tamper(t, dir, func(p *progress, arrays map[string]nets.Array) {
		p.Backend = "xla:cuda"
		clear(arrays["fc1.weight"].Data)
	})
	var notes []string
	epochs := 0
	got := mustTrain(t, sgd(), Options{
		Dir: dir, Key: "mine",
		Note:    func(text string) { notes = append(notes, text) },
		Advance: func(n int) { epochs += n },
	})
	requireSame(t, mustTrain(t, sgd(), Options{}), got)
	require.Equal(t, []string{
		"starting over: the saved state was computed by xla:cuda, this is " + open(t).Kind + ", and bits differ between them",
	}, notes)
	require.Equal(t, 4, epochs)
}

func TestNothingIsSavedWithoutAFolder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	_, err := train(t, after(5), sgd(), Options{SaveEvery: -1})
	require.ErrorIs(t, err, context.Canceled)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, files)
}

func TestAStateThatCannotBeSavedEndsTraining(t *testing.T) {
	dir := t.TempDir()
	opt := Options{Dir: dir, Key: "k", SaveEvery: -1}
	opt.OnEpoch = func(Epoch) error { return os.RemoveAll(dir) }
	r, err := train(t, context.Background(), sgd(), opt)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "training: cannot write "+filepath.Join(dir, StateFile))
	require.Len(t, r.History, 1)
}
