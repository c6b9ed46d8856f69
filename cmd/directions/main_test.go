package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/paper"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// The test program is the command itself if it is told so: tests then see exit codes, both outputs and signals.
const asCommand = "DIRECTIONS_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// shell is an environment to run the command in: a store of its own, the pure-Go backend, no data folder, no network. Tests
// that have one run side by side.
type shell struct {
	t   *testing.T
	dir string // where it runs
	env []string
}

func newShell(t *testing.T) shell {
	t.Parallel()
	dir := t.TempDir()
	return shell{t, dir, []string{
		asCommand + "=1", "GOMLX_BACKEND=go", "DIRECTIONS_HOME=" + filepath.Join(dir, "home"), "DIRECTIONS_DATA=",
		"PJRT_PLUGIN_LIBRARY_PATH=", "HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1",
	}}
}

func (s shell) with(env ...string) shell {
	s.env = append(s.env[:len(s.env):len(s.env)], env...)
	return s
}

func (s shell) command(args ...string) (c *exec.Cmd, out, err *bytes.Buffer) {
	self, e := os.Executable()
	require.NoError(s.t, e)
	c = exec.Command(self, args...)
	c.Dir, c.Env = s.dir, append(os.Environ(), s.env...)
	out, err = &bytes.Buffer{}, &bytes.Buffer{}
	c.Stdout, c.Stderr = out, err
	return c, out, err
}

// ok runs a command that must succeed.
func (s shell) ok(args ...string) (out, err string) {
	s.t.Helper()
	c, o, e := s.command(args...)
	require.NoError(s.t, c.Run(), "%q: %s", args, e)
	return o.String(), e.String()
}

// fails runs a command that must end with exit code 1 and one message, without output.
func (s shell) fails(args ...string) (message string) {
	s.t.Helper()
	c, o, e := s.command(args...)
	err := c.Run()
	var exit *exec.ExitError
	require.True(s.t, errors.As(err, &exit), "%q did not fail: %s", args, o)
	require.Equal(s.t, 1, exit.ExitCode(), "%q: %s", args, e)
	require.Empty(s.t, o.String(), "%q", args)
	require.True(s.t, strings.HasPrefix(e.String(), "directions: "), "%q: %s", args, e)
	return e.String()
}

func (s shell) home() string { return s.path("home") }

func (s shell) path(name string) string { return filepath.Join(s.dir, name) }

func (s shell) write(name, text string) {
	require.NoError(s.t, os.WriteFile(s.path(name), []byte(text), 0o644))
}

// net trains a small network called net.
func (s shell) net() {
	s.t.Helper()
	s.ok("train", "--examples", "200", "--net", "mlp:12,8", "--corrupt", "0.2", "--optimizer", "adam", "--lr", "0.01", "--batch", "5",
		"--epochs", "4", "--name", "net", "-q")
}

func TestHelp(t *testing.T) {
	s := newShell(t)
	out, _ := s.ok()
	for _, name := range []string{"train", "ablate", "noise", "figure", "demo", "runs", "data", "doctor"} {
		require.Regexp(t, regexp.MustCompile(`(?m)^  `+name+` +[A-Z]`), out)
		help, _ := s.ok(name, "--help")
		require.Contains(t, help, "directions "+name)
	}
	require.NoDirExists(t, s.home(), "help needs no store")
	out, _ = s.ok("runs")
	require.Contains(t, out, "gc")
}

func TestBadRequests(t *testing.T) {
	s := newShell(t)
	s.write("empty.json", "")
	s.write("nosites.json", "{}")
	s.write("grid.json", `{"sites": ["fc1"], "grid": [0, 1], "orders": [[0]]}`)
	s.write("store", "")
	for want, args := range map[string][]string{
		"no command \"foo\"; `directions --help` lists the commands":    {"foo"},
		"no command \"trian\"; did you mean train?":                     {"trian"},
		"no command \"lst\"; did you mean list?":                        {"runs", "lst"},
		"no command \"drop\"; `directions data --help`":                 {"data", "drop"},
		"unknown flag: --bogus; `directions train --help` lists":        {"train", "--bogus"},
		"flag needs an argument: --lr":                                  {"train", "--lr"},
		`invalid argument "abc" for "--epochs" flag`:                    {"train", "--epochs", "abc"},
		`train takes no arguments, but "x" was given`:                   {"train", "x"},
		"ablate takes one argument, a RUN: a name or key from":          {"ablate"},
		"noise takes one argument, a RUN":                               {"noise", "a", "b"},
		"figure takes one argument, the ID of a figure":                 {"figure"},
		"fetch takes at least one argument, the NAME of a data set":     {"data", "fetch"},
		"--orders is 0, it must be greater than 0":                      {"ablate", "net", "--orders", "0"},
		"--orders is -1, it must be greater than 0":                     {"ablate", "net", "--orders", "-1"},
		"--points is 0, it must be greater than 0":                      {"ablate", "net", "--points", "0"},
		"--repeats is 0, it must be greater than 0":                     {"noise", "net", "--repeats", "0"},
		"--epochs is 0, it must be greater than 0; leave it out":        {"train", "--epochs", "0"},
		"--lr is NaN, it must be greater than 0":                        {"train", "--lr", "NaN"},
		`--to: target "none" is not one of zero, mean, element-mean`:    {"ablate", "net", "--to", "none"},
		"--to itself would change nothing":                              {"ablate", "net", "--to", "itself"},
		`--png: cannot draw into "a.jpg": the name must end in .png or`: {"ablate", "net", "--png", "a.jpg"},
		`--png: cannot draw into "-": the name must end in`:             {"noise", "net", "--png", "-"},
		"--png none/a.png: cannot write into the folder none: no such":  {"ablate", "net", "--png", "none/a.png"},
		"--json store/a.json: cannot write into the folder store: not":  {"ablate", "net", "--json", "store/a.json"},
		"--csv .: that is there and is not a regular file":              {"noise", "net", "--csv", "."},
		"--json /dev/stdout: that is there and is not a regular":        {"ablate", "net", "--json", "/dev/stdout"},
		"standard output can take one of them":                          {"ablate", "net", "--json", "-", "--csv", "-"},
		"--out store/x: cannot make that folder: not a directory":       {"figure", "1a", "--out", "store/x"},
		"--out store: cannot make that folder":                          {"demo", "--out", "store"},
		"--results store: cannot make that folder":                      {"figure", "1a", "--results", "store", "--save"},
		"--json none/x: cannot write into the folder none":              {"figure", "1a", "--json", "none/x"},
		"figure 1a: the result is to be saved, but there is no folder":  {"figure", "1a", "--save"},
		`figure "3c" is not one of [1a 1b `:                             {"figure", "3c"},
		`preset "big" is not one of [smoke quick paper]`:                {"figure", "1a", "--preset", "big"},
		`no data set "cifar": there are mnist10k, mnist, fashion-mnist`: {"train", "--data", "cifar"},
		`net "cnn" is not known; allowed: mlp:WIDTH,WIDTH`:              {"train", "--net", "cnn"},
		"corruption fraction is 1.5, it must lie between 0 and 1":       {"train", "--corrupt", "1.5"},
		"corruption fraction is NaN, it must lie between 0 and 1":       {"train", "--corrupt", "NaN"},
		"examples is 8001; data set mnist10k has 8000 training":         {"train", "--examples", "8001"},
		"--orders-file: open none.json: no such file":                   {"ablate", "net", "--orders-file", "none.json"},
		"--orders-file empty.json: the file is empty":                   {"ablate", "net", "--orders-file", "empty.json"},
		"--orders-file nosites.json: orderings name no sites":           {"ablate", "net", "--orders-file", "nosites.json"},
		"--orders and --orders-file: the file decides that; leave":      {"ablate", "net", "--orders-file", "grid.json", "--orders", "2"},
		"--points and --orders-file: the file decides that":             {"ablate", "net", "--orders-file", "grid.json", "--points", "2"},
		`no run "net" in `: {"ablate", "net"},
		"directions runs list` shows those there are": {"runs", "show", "net"},
		`no run ""`: {"noise", ""},
		"x.safetensors: a file of weights needs --net and --data":             {"ablate", "x.safetensors", "--net", "mlp:5"},
		"weights: open x.safetensors: no such file":                           {"ablate", "x.safetensors", "--net", "mlp:5", "--data", "mnist10k"},
		"--layout and --output are for a .safetensors or .onnx file; \"net\"": {"noise", "net", "--net", "mlp:5"},
		`--verify "some" is not one of sample, all`:                           {"runs", "list", "--verify", "some"},
		"--memory -1: a number of MiB, at least 1":                            {"runs", "list", "--memory", "-1"},
		"--memory 9223372036854775807: a number of MiB":                       {"runs", "list", "--memory", "9223372036854775807"},
		`backend "tpu" is not one of go, xla, xla:cpu, xla:cuda`:              {"train", "--backend", "tpu"},
		"no pjrt_c_api_cpu_plugin.so in":                                      {"train", "--backend", "xla:cpu"},
		"set DIRECTIONS_HOME to a folder you may write":                       {"runs", "list", "--home", "store"},
	} {
		require.Contains(t, s.fails(args...), want, "%q", args)
	}
}

func TestTrainAndRuns(t *testing.T) {
	s := newShell(t)
	out, progress := s.ok("train", "--examples", "100", "--net", "mlp:5", "--corrupt", "0.5", "--epochs", "2", "--name", "half")
	require.Contains(t, out, "Network half")
	require.Regexp(t, `epochs +2\n`, out)
	require.Regexp(t, `^training mlp:5 on mnist10k, 50 % labels corrupted: 0 % of 2 epochs\ntraining .*: 2 epochs in .*s \(loss .*\)\n$`, progress)
	key := regexp.MustCompile(`key +([0-9a-f]{32})`).FindStringSubmatch(out)[1]
	again, progress := s.ok("train", "--examples", "100", "--net", "mlp:5", "--corrupt", "0.5", "--epochs", "2")
	require.Equal(t, out, again)
	require.Empty(t, progress, "read from the store")
	s.ok("train", "--examples", "100", "--net", "mlp:6", "--epochs", "1", "-q")

	out, _ = s.ok("runs", "list")
	require.Equal(t, 6, strings.Count(out, "\n"), "title, head of two lines, rule and two networks: %s", out)
	require.Regexp(t, key[:12]+` +half +mlp:5 +mnist10k +0.5`, out)
	out, _ = s.ok("runs", "show", "half")
	require.Contains(t, out, "weights: ")
	weights := strings.TrimSpace(out[strings.Index(out, "weights: ")+len("weights: "):])
	require.FileExists(t, weights)
	out, _ = s.ok("runs", "show", key[:6], "--json")
	var run struct {
		Key, Name string
		Spec      struct{ Net string }
	}
	require.NoError(t, json.Unmarshal([]byte(out), &run))
	require.Equal(t, []string{key, "half", "mlp:5"}, []string{run.Key, run.Name, run.Spec.Net})

	out, _ = s.ok("runs", "rm", "half")
	require.Equal(t, "removed "+key+" half\n", out)
	require.NoFileExists(t, weights)
	require.Contains(t, s.fails("runs", "rm", "half"), `no run "half"`)
	out, _ = s.ok("runs", "list")
	require.NotContains(t, out, key[:12])

	// A damaged network is an error, and the others are listed.
	s.ok("train", "--examples", "100", "--net", "mlp:5", "--corrupt", "0.5", "--epochs", "2", "-q")
	require.NoError(t, os.Truncate(weights, 1000))
	c, o, e := s.command("runs", "list")
	require.Error(t, c.Run())
	require.Contains(t, o.String(), "mlp:6")
	require.Contains(t, e.String(), "weights.safetensors has another checksum than when it was written; delete that folder")
}

func TestDamagedInputs(t *testing.T) {
	s := newShell(t)
	s.net()
	out, _ := s.ok("runs", "show", "net")
	weights, err := os.ReadFile(strings.TrimSpace(out[strings.Index(out, "weights: ")+len("weights: "):]))
	require.NoError(t, err)
	s.write("short.safetensors", string(weights[:len(weights)-8]))
	s.write("tiny.safetensors", "abc")
	s.write("huge.safetensors", "\xff\xff\xff\xff\xff\xff\xff\x7f{}")
	s.write("good.safetensors", string(weights))
	of := []string{"--net", "mlp:12,8", "--data", "mnist10k"}
	ablate := func(file string, flags ...string) string {
		return s.fails(append([]string{"ablate", file}, flags...)...)
	}
	require.Contains(t, ablate("short.safetensors", of...), "weights short.safetensors: ")
	require.Contains(t, ablate("tiny.safetensors", of...), "it has only 3 bytes")
	require.Contains(t, ablate("huge.safetensors", of...), "is it another kind of file?")
	require.Contains(t, ablate("good.safetensors", "--net", "mlp:12,9", "--data", "mnist10k"),
		`"fc2.bias" has shape [8] in the weights, the network needs [9]`)
	require.Contains(t, ablate("good.safetensors", "--net", "mlp:12,8", "--data", "mnist", "-q"), "put the published files into")

	require.NoError(t, os.MkdirAll(s.path("data/mnist"), 0o755))
	s.write("data/mnist/train-images-idx3-ubyte.gz", "not an image")
	s = s.with("DIRECTIONS_DATA=" + s.path("data"))
	require.Contains(t, s.fails("train", "--data", "mnist", "-q"), "train-images-idx3-ubyte.gz has 12 bytes, the published file has 9912422")
	c, o, e := s.command("data", "verify", "mnist")
	require.Error(t, c.Run())
	require.Regexp(t, `wrong size +mnist/train-images-idx3-ubyte.gz +has 12 bytes`, o.String())
	require.Contains(t, e.String(), "4 files are not as published; `directions data fetch NAME` replaces them")
	c, o, e = s.command("data", "verify")
	require.Error(t, c.Run())
	require.Contains(t, o.String(), "mnist10k/t10k-images", "without a name all that are here are looked at")
	require.NotContains(t, o.String(), "fashion-mnist")
	require.Contains(t, e.String(), "4 files are not as published")
}

func TestImport(t *testing.T) {
	s := newShell(t)
	s.net()
	trained, _ := s.ok("runs", "show", "net")
	weights, err := os.ReadFile(strings.TrimSpace(trained[strings.Index(trained, "weights: ")+len("weights: "):]))
	require.NoError(t, err)
	s.write("theirs.safetensors", string(weights))
	s.write("short.safetensors", string(weights[:len(weights)-8]))
	of := []string{"--net", "mlp:12,8", "--data", "mnist10k"}
	out, progress := s.ok(append([]string{"import", "theirs.safetensors", "--name", "theirs", "--input", "half"}, of...)...)
	require.Contains(t, out, "Network theirs")
	require.Regexp(t, `input +half\n`, out)
	require.Regexp(t, `test accuracy \(fraction\) +0\.\d+\n`, out)
	require.Contains(t, progress, "measuring theirs.safetensors on the train images: 8000 images in ")
	require.Contains(t, progress, "measuring theirs.safetensors on the test images: 2000 images in ")
	shown, _ := s.ok("runs", "show", "theirs")
	require.Equal(t, out, shown[:strings.Index(shown, "weights: ")])
	list, _ := s.ok("runs", "list")
	require.Regexp(t, `theirs +mlp:12,8 +mnist10k`, list)
	_, progress = s.ok(append([]string{"import", "theirs.safetensors", "--input", "half"}, of...)...)
	require.Empty(t, progress, "measured once")
	plain, _ := s.ok(append([]string{"import", "theirs.safetensors"}, of...)...)
	accuracy := regexp.MustCompile(`test accuracy.*`)
	require.NotEqual(t, accuracy.FindString(out), accuracy.FindString(plain), "another input is another network")
	curve, _ := s.ok("ablate", "theirs", "--orders", "1", "--points", "2", "--examples", "50", "--csv", "-")
	same, _ := s.ok(append([]string{"ablate", "theirs.safetensors", "--input", "half", "--orders", "1", "--points", "2", "--examples", "50", "--csv", "-"}, of...)...)
	require.Equal(t, curve, same)

	for want, args := range map[string][]string{
		"import takes one argument, a .safetensors or .onnx FILE; 0 were given":          {},
		"a file of weights needs --net and --data, for example --net":                    {"theirs.safetensors", "--net", "mlp:12,8"},
		"weights: open none.safetensors: no such file":                                   {"none.safetensors", of[0], of[1], of[2], of[3]},
		"weights short.safetensors: safetensors file, tensor":                            {"short.safetensors", of[0], of[1], of[2], of[3]},
		`"fc2.bias" has shape [8] in the weights, the network needs [9]`:                 {"theirs.safetensors", "--net", "mlp:12,9", of[2], of[3]},
		`input "imagenet" is for images with 3 channels, these have 1`:                   {"theirs.safetensors", of[0], of[1], of[2], of[3], "--input", "imagenet"},
		`input "imag" is not known; allowed: "" (pixel/255), half`:                       {"theirs.safetensors", of[0], of[1], of[2], of[3], "--input", "imag"},
		`name "net" is that of run`:                                                      {"theirs.safetensors", of[0], of[1], of[2], of[3], "--name", "net"},
		`the weights have no "bn1.bias" [64]; they have [fc1.bias fc1.weight fc2.bias`:   {"theirs.safetensors", "--net", "convnet", of[2], of[3]},
		`net "convnet:nobn,width=0.5": this network is written "convnet:width=0.5,nobn"`: {"theirs.safetensors", "--net", "convnet:nobn,width=0.5", of[2], of[3]},
		`no data set "cifar": there are mnist10k, mnist, fashion-mnist, cifar10`:         {"theirs.safetensors", of[0], of[1], of[2], "cifar"},
	} {
		require.Contains(t, s.fails(append([]string{"import"}, args...)...), want, "%q", args)
	}
	require.Contains(t, s.fails("train", "--input", "imagenet"), `input "imagenet" is for images with 3 channels, these have 1`)
}

func TestData(t *testing.T) {
	s := newShell(t)
	out, _ := s.ok("data", "list")
	require.Regexp(t, `mnist10k +MNIST digits.* +8000 +2000 .* yes `, out)
	require.Regexp(t, `fashion-mnist .* missing `, out)
	out, _ = s.ok("data", "verify", "mnist10k")
	require.Equal(t, 2, strings.Count(out, "ok "))
	s.ok("data", "fetch", "mnist10k", "-q")
	message := s.fails("data", "fetch", "mnist", "-q")
	require.Contains(t, message, "could not be had from any mirror")
	require.Contains(t, message, "set DIRECTIONS_DATA to a folder that has mnist/")
	require.Contains(t, s.fails("data", "verify", "cifar"), `no data set "cifar"`)
}

func TestDoctor(t *testing.T) {
	s := newShell(t)
	out, _ := s.ok("doctor")
	require.Regexp(t, `(?m)^ok +store +.*home: 0 networks, 0 results`, out)
	require.Regexp(t, `(?m)^ok +backend +pure Go \(GOMLX_BACKEND=go\)`, out)
	require.Regexp(t, `(?m)^missing +XLA plugin`, out)
	require.Regexp(t, `(?m)^ok +data mnist10k +yes`, out)
	require.Regexp(t, `(?m)^missing +data mnist +missing\n +fix: directions data fetch mnist, or set`, out)
	require.Regexp(t, `(?m)^ok +Go +.*go version`, out)

	out, _ = s.ok("doctor", "--json")
	var findings []finding
	require.NoError(t, json.Unmarshal([]byte(out), &findings))
	for _, f := range findings {
		require.True(t, f.OK || !f.Needed, "%+v", f)
		require.NotEmpty(t, f.Found)
		require.True(t, f.OK || f.HowToFix != "", "%+v", f)
	}

	for _, bad := range [][]string{{"--backend", "xla:cpu"}, {"--home", "/dev/null/x"}} {
		c, o, e := s.command(append([]string{"doctor", "--json"}, bad...)...)
		require.Error(t, c.Run())
		require.Equal(t, 1, c.ProcessState.ExitCode())
		require.Contains(t, e.String(), "directions: the main job cannot run: ")
		require.NoError(t, json.Unmarshal(o.Bytes(), &findings), "the findings are printed all the same")
		broken := 0
		for _, f := range findings {
			if f.Needed && !f.OK {
				broken++
				require.NotEmpty(t, f.HowToFix)
			}
		}
		require.Equal(t, 1, broken)
	}
	// Folders asked for replace those of the environment, as everywhere.
	s = s.with("DIRECTIONS_DATA=" + s.dir)
	require.NoError(t, os.Mkdir(s.path("mnist"), 0o755))
	s.write("mnist/train-images-idx3-ubyte.gz", "x")
	out, _ = s.ok("doctor")
	require.Regexp(t, `data mnist +train-images-idx3-ubyte.gz: wrong size`, out)
	out, _ = s.ok("doctor", "--data-dir", "/none")
	require.Regexp(t, `data mnist +missing`, out)
}

// start runs a command until its standard error contains text.
func (s shell) start(text string, args ...string) (c *exec.Cmd, stderr func() string) {
	file, err := os.Create(filepath.Join(s.t.TempDir(), "stderr"))
	require.NoError(s.t, err)
	defer file.Close()
	c, _, _ = s.command(args...)
	c.Stderr = file
	require.NoError(s.t, c.Start())
	s.t.Cleanup(func() { _ = c.Process.Kill() })
	stderr = func() string {
		b, err := os.ReadFile(file.Name())
		require.NoError(s.t, err)
		return string(b)
	}
	require.Eventually(s.t, func() bool { return strings.Contains(stderr(), text) }, time.Minute, time.Millisecond)
	return c, stderr
}

// long is a training of a second or more.
var long = []string{"train", "--examples", "1000", "--net", "mlp:16", "--epochs", "40", "--evaluate", "40"}

func TestInterrupt(t *testing.T) {
	s := newShell(t)
	c, stderr := s.start("0 % of 40 epochs", long...)
	time.Sleep(100 * time.Millisecond) // somewhere in the middle
	require.NoError(t, c.Process.Signal(os.Interrupt))
	require.Error(t, c.Wait())
	require.Equal(t, 130, c.ProcessState.ExitCode(), stderr())
	require.Contains(t, stderr(), "of at most 40: interrupt signal received\n"+
		"What was finished is saved; the same command goes on from there.\n")
	out, _ := s.ok("runs", "list")
	require.NotContains(t, out, "mlp:16", "an unfinished network is not listed")
	_, progress := s.ok(long...)
	require.Contains(t, progress, "going on in epoch")
}

func TestKill(t *testing.T) {
	s := newShell(t)
	c, _ := s.start("0 % of 40 epochs", long...)
	require.NoError(t, c.Process.Kill())
	require.Error(t, c.Wait())
	out, _ := s.ok("runs", "list")
	require.NotContains(t, out, "mlp:16")
	out, _ = s.ok("runs", "gc")
	require.Equal(t, "temporary files: 0.0 MB freed\n", out)
	out, _ = s.ok("runs", "gc", "--unfinished")
	require.Regexp(t, `removed the unfinished run [0-9a-f]{32}\n$`, out)

	// While somebody trains, the run is left alone.
	c, _ = s.start("0 % of 40 epochs", long...)
	out, notes := s.ok("runs", "gc", "--unfinished")
	require.NotContains(t, out, "removed")
	require.Contains(t, notes, "is in use by process")
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.Error(t, c.Wait())
	require.Equal(t, 130, c.ProcessState.ExitCode())
}

func TestTwoProcesses(t *testing.T) {
	s := newShell(t)
	args := []string{"train", "--examples", "500", "--net", "mlp:32", "--epochs", "5"}
	one, out1, err1 := s.command(args...)
	two, out2, err2 := s.command(args...)
	require.NoError(t, one.Start())
	require.NoError(t, two.Start())
	require.NoError(t, one.Wait(), err1)
	require.NoError(t, two.Wait(), err2)
	require.Equal(t, out1.String(), out2.String())
	require.Equal(t, 1, strings.Count(err1.String()+err2.String(), "5 epochs in"), "one trains, the other reads:\n%s\n%s", err1, err2)
}

func TestFigure(t *testing.T) {
	s := newShell(t)
	out, _ := s.ok("figure", "list")
	require.Regexp(t, `(?m)^1a +Cumulative ablation of an MLP +smoke, quick, paper`, out)

	// A result that is there already; computing one is tested in package paper, where this key is, too.
	r := &paper.Result{
		ID: "1a", Title: "Made up", Preset: "smoke", Data: "mnist10k", Caption: []string{"No network at all."},
		Curves: []result.Curve{{Name: "0 %", XAxis: result.Axis{Name: "ablated", Unit: "units"}, YAxis: result.Axis{Name: "accuracy", Unit: "fraction"},
			X: []float64{0, 50, 100}, Y: []float64{1, 0.6, 0.1}}},
		Table:  result.Table{Title: "Areas", Columns: []result.Axis{{Name: "AUC"}}, Rows: [][]any{{0.5}}},
		Claims: []result.Claim{{Name: "Good", Test: "a > b", Found: "2 > 1", Passed: true}, {Name: "Bad", Test: "a < b", Found: "2"}},
	}
	require.NoError(t, os.Mkdir(s.path("results"), 0o755))
	require.NoError(t, result.WriteResultFile(s.path("results/figure-1a-smoke-mnist10k.json"), result.Manifest{Key: "886e097c21dc97b82cfb1004b0bef122"}, r))
	out, progress := s.ok("figure", "1a", "--results", "results", "--out", "pictures/new", "--json", "result.json")
	require.Empty(t, progress)
	require.Contains(t, out, "Areas")
	require.Contains(t, out, "passed  Good\n        test:  a > b\n        found: 2 > 1\nFAILED  Bad\n")
	require.Contains(t, out, "Pictures: pictures/new/figure-1a-smoke-mnist10k.png, pictures/new/figure-1a-smoke-mnist10k.svg\n")
	isPNG(t, s.path("pictures/new/figure-1a-smoke-mnist10k.png"))
	isSVG(t, s.path("pictures/new/figure-1a-smoke-mnist10k.svg"))
	var read paper.Result
	text, err := os.ReadFile(s.path("result.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &read))
	require.Equal(t, r, &read)

	out, _ = s.ok("figure", "1a", "--results", "results", "--json", "-")
	require.Equal(t, string(text), out, "and nothing else")
	require.NoDirExists(t, s.path("out"), "no pictures beside JSON on standard output")
}

func isPNG(t *testing.T, path string) {
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	picture, err := png.Decode(f)
	require.NoError(t, err)
	require.Greater(t, picture.Bounds().Dx(), 500)
}

func isSVG(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), "<svg")
	require.True(t, strings.HasSuffix(strings.TrimSpace(string(text)), "</svg>"))
}
