package lab

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/noise"
	"github.com/seed-ea9a9d67/directions/pkg/probe"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// convolutional writes the initial weights of a small network, with what PyTorch's batch normalization adds.
func convolutional(t *testing.T, l *Lab, net string) (path string) {
	b, err := l.Backend()
	require.NoError(t, err)
	n, err := nets.Parse(net, []int{28, 28, 1}, 10)
	require.NoError(t, err)
	weights, err := n.Init(b.Engine, 1)
	require.NoError(t, err)
	weights["bn1.num_batches_tracked"] = nets.Array{Shape: []int{}, Data: []float32{7}}
	path = filepath.Join(t.TempDir(), "theirs.safetensors")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, nets.WriteSafetensors(f, weights, map[string]string{"licence": "of theirs"}))
	return path
}

func TestKeep(t *testing.T) {
	const net = "convnet:width=0.03125,layers=1,fc=4"
	var notes []string
	l, w := open(t, t.TempDir(), Options{Note: func(s string) { notes = append(notes, s) }})
	path := convolutional(t, l, net)
	r, err := l.Import(path, net, "mnist10k", "half")
	require.NoError(t, err)
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "theirs.safetensors: 1 × num_batches_tracked left out")
	kept, err := l.Keep(context.Background(), r, "theirs")
	require.NoError(t, err)
	require.Equal(t, r.Key, kept.Key)
	require.Len(t, w.meters, 2)
	require.Equal(t, "measuring theirs.safetensors on the train images", w.meters[0].title)
	require.Equal(t, 8000, w.meters[0].done)
	require.Equal(t, 2000, w.meters[1].done)

	found, err := l.Find("theirs")
	require.NoError(t, err)
	require.Equal(t, kept.Final, found.Final)
	require.Equal(t, r.Arrays, found.Arrays)
	require.NotContains(t, found.Arrays, "bn1.num_batches_tracked")
	require.Equal(t, "half", found.Spec.Input)
	require.Equal(t, path, found.Source)
	require.Equal(t, "go", found.Backend)
	require.Contains(t, found.Table().Text(), "test accuracy")
	require.Contains(t, found.Table().Text(), "half")
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	got, err := os.ReadFile(l.WeightsPath(r.Key))
	require.NoError(t, err)
	require.Equal(t, want, got, "byte by byte, with its metadata")

	// What it measured is what an analysis finds at 0 units; none asked for, the fully connected layer stays as it is.
	spec := ablate.Spec{Orders: 1, Points: 2, Seed: 1}
	test := On{Split: "test"}
	res := ablation(t, l, found, test, spec)
	require.Equal(t, found.Final.TestAccuracy, res.Baseline.Accuracy())
	require.Equal(t, found.Final.TestLoss, res.Baseline.MeanLoss())
	require.Equal(t, []string{"conv1"}, res.Sites)
	spec.Sites = []string{"conv1"}
	files := resultFiles(t, l)
	require.Equal(t, res, ablation(t, l, r, test, spec))
	require.Equal(t, files, resultFiles(t, l), "the same request, the same key, stored or not")
	require.Equal(t, []string{"conv1"}, sweep(t, l, r, On{Split: "test", Examples: 20}, noise.Spec{Scales: []float64{1}, Repeats: 1}).Sites)

	// The same again: nothing is measured; another name: it is renamed; the name of another: refused.
	meters := len(w.meters)
	again, err := l.Keep(context.Background(), r, "")
	require.NoError(t, err)
	require.Equal(t, "theirs", again.Name)
	again, err = l.Keep(context.Background(), r, "ours")
	require.NoError(t, err)
	require.Equal(t, kept.Final, again.Final)
	require.Len(t, w.meters, meters)
	_, err = l.Find("theirs")
	require.ErrorContains(t, err, "no run")
	found, err = l.Find("ours")
	require.NoError(t, err)
	require.Equal(t, r.Arrays, found.Arrays)
	other, err := l.Import(path, net, "mnist10k", "")
	require.NoError(t, err)
	require.NotEqual(t, r.Key, other.Key)
	_, err = l.Keep(context.Background(), other, "ours")
	require.ErrorContains(t, err, `name "ours" is that of run`)
	_, err = l.Keep(context.Background(), found, "")
	require.ErrorContains(t, err, "the run does not come from Lab.Import")

	// A spec that was altered no longer fits the key.
	dir := l.store.RunDir(r.Key)
	text, err := os.ReadFile(filepath.Join(dir, specFile))
	require.NoError(t, err)
	altered := strings.Replace(string(text), `"input": "half"`, `"input": "0.5/1"`, 1)
	require.NotEqual(t, string(text), altered)
	require.NoError(t, os.WriteFile(filepath.Join(dir, specFile), []byte(altered), 0o644))
	_, err = l.Find("ours")
	require.ErrorContains(t, err, "its key does not fit its specification")
}

// A wrong parameter is named with both shapes.
func TestImportOfAnotherNetwork(t *testing.T) {
	l, _ := open(t, t.TempDir(), Options{})
	path := convolutional(t, l, "convnet:width=0.03125,layers=2")
	for net, says := range map[string]string{
		"convnet:width=0.0625,layers=2":       `"bn1.bias" has shape [2] in the weights, the network needs [4]`,
		"convnet:width=0.03125,layers=2,nobn": `the weights have no "conv1.bias" [2]`,
		"convnet:width=0.03125,layers=1":      `has no parameter "bn2.bias", which the weights contain; it has [bn1.bias bn1.running_mean`,
		"convnet:width=0.03125,layers=3":      `the weights have no "bn3.bias" [4]; they have 12 parameters, from bn1.bias to logits.weight`,
		"resnet20":                            `"bn1.bias" has shape [2] in the weights, the network needs [16]`,
	} {
		_, err := l.Import(path, net, "mnist10k", "")
		require.ErrorContains(t, err, says, net)
	}
	_, err := l.Import(path, "convnet:width=0.03125,layers=2", "mnist10k", "imagenet")
	require.ErrorContains(t, err, `input "imagenet" is for images with 3 channels, these have 1`)
	_, err = l.Import(path, "convnet:width=0.03125,layers=2", "mnist10k", "unit")
	require.ErrorContains(t, err, `input "unit" is not known; allowed: "" (pixel/255), half`)
}

// resNet20 is a trained ResNet-20 with CIFAR-10, if both are on this machine, on XLA.
func resNet20(t *testing.T) (*Lab, *Run) {
	if testing.Short() {
		t.Skip("runs thousands of images through a ResNet-20: leave -short out")
	}
	l, err := Open(Options{Home: t.TempDir()})
	require.NoError(t, err)
	var files []string
	for _, dir := range l.DataDirs() {
		found, _ := filepath.Glob(filepath.Join(dir, "weights", "cifar10-resnet20-*.safetensors"))
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Skip("needs the weights of a trained ResNet-20: set DIRECTIONS_DATA to a folder with weights/cifar10-resnet20-*.safetensors " +
			"and cifar10/")
	}
	if _, err := datasets.Load("cifar10", l.DataDirs()...); err != nil {
		missing := new(datasets.MissingError)
		require.ErrorAs(t, err, &missing)
		t.Skipf("the weights are there, but: %v", err)
	}
	b, err := l.Backend()
	require.NoError(t, err)
	if b.Kind == "go" {
		t.Skip("takes the pure-Go backend most of an hour: run it with XLA (install.sh gets it)")
	}
	r, err := l.Import(files[0], "resnet20", "cifar10", "imagenet")
	require.NoError(t, err)
	return l, r
}

// The published accuracy of this network is 91.73 % (github.com/akamaster/pytorch_resnet_cifar10: error 8.27 %).
func TestResNet20IsAsGoodAsPublished(t *testing.T) {
	l, r := resNet20(t)
	p, err := l.probe(context.Background(), r, On{Split: "test"}, probe.Options{})
	require.NoError(t, err)
	defer p.Close()
	s, _, err := p.Evaluate(context.Background(), [][]unit.Edit{nil})
	require.NoError(t, err)
	require.Equal(t, 9173, s[0].Correct)
}

// PyTorch sets each feature map of the nine block outputs to zero: testdata/impacts.py, which says how.
func TestSingleUnitsAgainstPyTorch(t *testing.T) {
	l, r := resNet20(t)
	text, err := os.ReadFile("testdata/impacts.json")
	require.NoError(t, err)
	var oracle struct {
		Weights string // sha256 of the file
		Images  int    // the first so many of the test images
		Loss    float64
		Maps    []struct {
			Site string
			Unit int
			Loss float64
		}
	}
	require.NoError(t, json.Unmarshal(text, &oracle))
	require.Len(t, oracle.Maps, 3*16+3*32+3*64)
	if oracle.Weights != r.Weights {
		t.Skipf("the weights are others (sha256 %s) than those of testdata/impacts.json; run testdata/impacts.py on them", r.Weights)
	}
	var sites []string
	for _, m := range oracle.Maps {
		if m.Unit == 0 {
			sites = append(sites, m.Site)
		}
	}
	impacts, err := l.Single(context.Background(), r, On{Split: "test", Examples: oracle.Images}, ablate.SingleSpec{Sites: sites})
	require.NoError(t, err)
	require.InDelta(t, oracle.Loss, impacts.Baseline.MeanLoss(), 1e-5)
	require.Len(t, impacts.Impacts, len(oracle.Maps))
	worst, largest := 0., 0.
	for i, m := range oracle.Maps {
		found, want := impacts.Impacts[i], m.Loss-oracle.Loss
		require.Equal(t, m.Site, found.Site)
		require.Equal(t, m.Unit, found.Unit)
		worst, largest = max(worst, math.Abs(found.DeltaLoss-want)), max(largest, want)
	}
	t.Logf("%d maps on %d images: Δ loss up to %.3f nats, differing by at most %.2g", len(oracle.Maps), impacts.Examples, largest, worst)
	require.Less(t, worst, 1e-4, "nats")
	require.Greater(t, largest, 1., "nats: there is something to agree on")
}
