package paper

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Figures about the same networks train them once, and measure and ablate their units once.
func TestFiguresOfUnitsEndToEnd(t *testing.T) {
	home := t.TempDir()
	l, computed, _ := open(t, home)
	selectivity := compute(t, l, figure6a(), Options{})
	require.Len(t, computed.titles, 8, "four networks trained and measured: %q", computed.titles)
	information := compute(t, l, figure6b(), Options{})
	require.Len(t, computed.titles, 8, "Figure 6b is about the same units: %q", computed.titles)
	scatter := compute(t, l, figure7b(), Options{})
	require.Len(t, computed.titles, 10, "two networks ablated: %q", computed.titles)
	byLayer := compute(t, l, figure7c(), Options{})
	require.Len(t, computed.titles, 10, "Figure 7c has no work of its own: %q", computed.titles)
	depth := compute(t, l, figureA2a(), Options{})
	norms := compute(t, l, figureA3b(), Options{})
	require.Equal(t, "mutual information with the class", compute(t, l, figureA4b(), Options{}).Units.Columns[3].Name)
	compute(t, l, figureA4c(), Options{})
	require.Len(t, computed.titles, 10, "nor have Figures A2a, A3b, A4b and A4c: %q", computed.titles)

	require.Len(t, depth.Table.Rows, 11)
	require.LessOrEqual(t, len(depth.Curves), 11)
	require.Contains(t, svg(t, depth), "conv11")
	require.Contains(t, depth.Claims[1].Found, "layers; medians conv1 ")
	require.Equal(t, "L1 norm of the incoming filter", norms.Units.Columns[4].Name)
	require.Len(t, norms.Units.Rows, 176)
	require.Contains(t, svg(t, norms), "L1 norm")

	// 2·(2 + 2 + 4·3 + 8·3 + 16·3) feature maps.
	for _, r := range []*Result{selectivity, information} {
		require.Len(t, r.Curves, 2)
		for i, name := range []string{"with", "without"} {
			c := r.Curves[i]
			require.Equal(t, name, c.Name)
			require.Equal(t, "range of the densities of 2 networks", c.Band)
			area, err := stat.Trapezoid(c.X, c.Y)
			require.NoError(t, err)
			require.InDelta(t, 1, area, 0.01)
		}
		require.Len(t, r.Table.Rows, 12, "11 layers and all")
		all := r.Table.Rows[11]
		require.Equal(t, "all", all[0])
		require.Equal(t, 176, all[1].(int)+all[2].(int))
		require.Equal(t, 176, all[4].(int)+all[5].(int))
		require.InDelta(t, all[3].(float64)-all[6].(float64), all[7], 1e-15)
		require.Len(t, r.Claims, 2)
		require.Contains(t, r.Caption[1], "Gaussian kernel")
		require.Contains(t, svg(t, r), "Figure "+r.ID+". ")
	}
	require.Equal(t, []float64{0, 1}, []float64{selectivity.Curves[0].X[0], selectivity.Curves[0].X[200]})
	require.Contains(t, selectivity.Caption[1], "reflected at 0 and 1")
	require.NotContains(t, information.Caption[1], "reflected")
	require.Contains(t, selectivity.Manifest.Inputs, "network 2 without batch normalization")

	require.Len(t, scatter.Units.Rows, 176)
	require.Equal(t, []any{2, "conv11", 15}, scatter.Units.Rows[175][:3])
	require.Empty(t, byLayer.Units.Rows)
	require.Equal(t, scatter.Relations, byLayer.Relations)
	require.Len(t, scatter.Relations.Layers, 11)
	require.Equal(t, 176, scatter.Relations.Pooled.N+scatter.Relations.Pooled.LeftOut)
	for _, r := range []*Result{scatter, byLayer} {
		require.Len(t, r.Table.Rows, 12)
		require.Equal(t, "all", r.Table.Rows[11][0])
		require.Contains(t, r.Caption[0], "2 networks (convnet:width=0.03125), 60 test images, ablated to zero on the first 30")
		picture := svg(t, r)
		again, err := reread(t, r).Figure()
		require.NoError(t, err)
		var b strings.Builder
		require.NoError(t, again.WriteSVG(&b))
		require.Equal(t, picture, b.String(), "drawn from what is stored")
	}
	require.Positive(t, scatter.Manifest.Seconds)
	require.Contains(t, scatter.Manifest.Inputs, "network 1")
}

func TestResidualNetworks(t *testing.T) { // without ablations, which take a minute in pure Go
	l, computed, _ := open(t, t.TempDir())
	r := compute(t, l, figureA3a(), Options{})
	require.Equal(t, []string{"layer1.0", "layer2.0", "layer3.0"},
		[]string{r.Relations.Layers[0].Layer, r.Relations.Layers[1].Layer, r.Relations.Layers[2].Layer}, "outputs of blocks")
	require.Equal(t, 112, r.Relations.Pooled.N+r.Relations.Pooled.LeftOut)
	require.Contains(t, r.Caption[2], "a ResNet-8 on mnist10k instead of a ResNet-50 on ImageNet")
	require.Contains(t, svg(t, r), "Figure A3a. ")
	n := len(computed.titles)
	compute(t, l, figureA2b(), Options{})
	require.Len(t, computed.titles, n, "the units of Figure A3a")
}

// What figures about residual networks do with a run, which may be any.
func TestFiguresOfAGivenRun(t *testing.T) {
	home, ctx := t.TempDir(), context.Background()
	l, computed, _ := open(t, home)
	_, err := Compute(ctx, l, "7d", Options{Preset: "quick"})
	require.ErrorContains(t, err, `no run "resnet20"`)
	require.ErrorContains(t, err, "`directions import FILE --net resnet20 --data cifar10 --input imagenet --name resnet20`")
	_, err = Compute(ctx, l, "7d", Options{Preset: "smoke", Run: "mine"})
	require.ErrorContains(t, err, `run "mine": preset smoke trains a network of its own; presets quick and paper take a run`)
	_, err = Compute(ctx, l, "7b", Options{Run: "mine"})
	require.ErrorContains(t, err, `run "mine": this figure trains its own networks; [7d 7e A2b A3a A4d A4e] take a run`)
	require.Empty(t, computed.titles)

	trained, err := l.Train(ctx, lab.Spec{Data: "mnist10k", Examples: 50, Net: "mlp:6,4", Fit: fit.Spec{Epochs: 2, Evaluate: 2}}, "")
	require.NoError(t, err)
	run, err := l.Import(l.WeightsPath(trained.Key), "mlp:6,4", "mnist10k", "")
	require.NoError(t, err)
	run, err = l.Keep(ctx, run, "resnet20")
	require.NoError(t, err)
	_, err = Compute(ctx, l, "7d", Options{Preset: "quick", Data: "cifar10"})
	require.ErrorContains(t, err, `data set "cifar10": the run is of mnist10k; leave the data set out`)

	folder := t.TempDir()
	r, err := Compute(ctx, l, "7d", Options{Preset: "quick", Results: folder, Save: true})
	require.NoError(t, err)
	require.Equal(t, []string{"quick", "mnist10k"}, []string{r.Preset, r.Data})
	require.Equal(t, run.Key, r.Manifest.Inputs["network resnet20"])
	require.Equal(t, []string{"a mlp:6,4 on mnist10k instead of a ResNet-50 on ImageNet"}, r.Manifest.Narrowing)
	require.Contains(t, r.Caption[0], "One network (mlp:6,4, test accuracy 0.")
	require.Contains(t, r.Caption[0], "2,000 test images, also for ablation to zero")
	require.Len(t, r.Claims, 1)
	n := len(computed.titles)
	byName, err := Compute(ctx, l, "7d", Options{Run: run.Key[:8]})
	require.NoError(t, err)
	require.Equal(t, r.Manifest.Key, byName.Manifest.Key, "quick is what a run is drawn at, and its name does not matter")
	require.Len(t, computed.titles, n)

	// Where the run is not there, its committed result is read; but no other one.
	elsewhere, computed, _ := open(t, t.TempDir())
	read, err := Compute(ctx, elsewhere, "7d", Options{Preset: "quick", Data: "mnist10k", Results: folder})
	require.NoError(t, err)
	require.Equal(t, r.Units, read.Units)
	require.Empty(t, computed.titles)
	for _, opt := range []Options{
		{Preset: "quick", Data: "mnist10k", Results: folder, Recompute: true}, {Preset: "quick", Results: folder, Run: "resnet20"},
		{Preset: "paper", Data: "mnist10k", Results: folder},
	} {
		_, err = Compute(ctx, elsewhere, "7d", opt)
		require.ErrorContains(t, err, "directions import FILE")
	}
}

// pictures writes a folder of pictures in four classes, which differ in colour, with 6 to train on and 3 to test each.
func pictures(t *testing.T, name string) (dir string) {
	dir = filepath.Join(t.TempDir(), name)
	for class := range 4 {
		for i := range 9 {
			img := image.NewNRGBA(image.Rect(0, 0, 9+i%3, 8))
			for k := range img.Pix {
				img.Pix[k] = uint8(40*(i%3) + 60*class*(k%4%2) + 13*(k%5))
			}
			split := "train"
			if i > 5 {
				split = "val"
			}
			folder := filepath.Join(dir, split, fmt.Sprintf("class %d", class))
			require.NoError(t, os.MkdirAll(folder, 0o755))
			f, err := os.Create(filepath.Join(folder, fmt.Sprintf("%d.png", i)))
			require.NoError(t, err)
			require.NoError(t, png.Encode(f, img))
			require.NoError(t, f.Close())
		}
	}
	return dir
}

// The figures about residual networks take any data that a run can have, in both layouts of such networks.
func TestFiguresOfAFolderOfPictures(t *testing.T) {
	home, ctx := t.TempDir(), context.Background()
	dir := pictures(t, "my pictures, 2")
	l, _, _ := open(t, home)
	trained := func(net string, size int) *lab.Run {
		run, err := l.Train(ctx, lab.Spec{Data: fmt.Sprintf("imagefolder:%s/,size=%d", dir, size), Net: net, Input: "imagenet",
			Fit: fit.Spec{Batch: 12, Epochs: 1, Evaluate: 1, LR: 0.01}}, net)
		require.NoError(t, err)
		return run
	}
	small := trained("resnet8", 8)
	folder := t.TempDir()
	for _, id := range ofRuns() {
		r, err := Compute(ctx, l, id, Options{Run: "resnet8", Results: folder, Save: true})
		require.NoError(t, err, id)
		require.Equal(t, small.Spec.Data, r.Data)
		require.Equal(t, small.Data, r.Manifest.Inputs["data set "+small.Spec.Data])
		require.Equal(t, []string{"a resnet8 on my pictures, 2 instead of a ResNet-50 on ImageNet"}, r.Manifest.Narrowing)
		require.Contains(t, r.Caption[0], "12 test images")
		require.Contains(t, svg(t, r), r.Title+" (my pictures, 2)")
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 6)
	for _, f := range files {
		require.Regexp(t, `^figure-(7d|7e|A2b|A3a|A4d|A4e)-quick-imagefolder-my-pictures-2-[0-9a-f]{8}\.json$`, filepath.Base(f))
	}

	_, err = Compute(ctx, l, "7d", Options{Run: "resnet8", Data: "cifar10"})
	require.ErrorContains(t, err, `data set "cifar10": the run is of `+small.Spec.Data)
	_, err = Compute(ctx, l, "7d", Options{Run: "resnet8", Data: "imagefolder:" + dir + "/,size=8,channels=3"})
	require.ErrorContains(t, err, "channels=3")
	same, err := Compute(ctx, l, "7d", Options{Run: "resnet8", Data: "imagefolder:" + filepath.Dir(dir) + "/./my pictures, 2/,size=8"})
	require.NoError(t, err, "another way to write it")
	require.Equal(t, small.Spec.Data, same.Data)

	if !testing.Short() { // 11 million weights
		trained("resnet18", 32)
		r, err := Compute(ctx, l, "A3a", Options{Run: "resnet18"})
		require.NoError(t, err)
		require.Len(t, r.Relations.Layers, 8, "outputs of blocks")
		require.Equal(t, 2*(64+128+256+512), r.Relations.Pooled.N+r.Relations.Pooled.LeftOut)
	}

	// Other pictures under the same name.
	trained("mlp:4", 8)
	require.NoError(t, os.Remove(filepath.Join(dir, "val", "class 1", "7.png")))
	l, _, _ = open(t, home)
	_, err = Compute(ctx, l, "7d", Options{Run: "mlp:4"})
	require.ErrorContains(t, err, "run mlp:4: the pictures of "+small.Spec.Data+" have changed since it was made")
	old, err := Compute(ctx, l, "7d", Options{Run: "resnet8"})
	require.NoError(t, err, "what was found on the old ones stays true of them")
	require.Equal(t, same.Units, old.Units)
}

func TestNamesOfFiles(t *testing.T) {
	require.Equal(t, "figure-7d-quick-cifar10.json", FileName("7d", "quick", "cifar10"))
	one, other := FileName("7d", "quick", "imagefolder:/a/photos,size=64"), FileName("7d", "quick", "imagefolder:/b/photos,size=64")
	require.Regexp(t, `^figure-7d-quick-imagefolder-photos-[0-9a-f]{8}\.json$`, one)
	require.NotEqual(t, one, other)
	require.Equal(t, one, FileName("7d", "quick", "imagefolder:/a/./photos/,size=64"), "one name for all ways to write it")
	require.Regexp(t, `^figure-7d-quick-imagefolder-\.\.--[0-9a-f]{8}\.json$`, FileName("7d", "quick", "imagefolder:/a/..\\:é"))
}

func TestImageNetIsKnownByItsClasses(t *testing.T) {
	var classes []string
	for i := range 1000 {
		classes = append(classes, fmt.Sprintf("n%08d", 1440764+i))
	}
	narrowing := func(net string, classes []string) []string {
		_, p := resNets(false).given("paper", known{given: given{Net: net, Data: "imagefolder:/data/in1k,size=224,resize=256"}, classes: classes})
		return p.Narrowing
	}
	require.Empty(t, narrowing("resnet50", classes))
	require.Equal(t, []string{"a resnet50 on in1k instead of a ResNet-50 on ImageNet"}, narrowing("resnet50", classes[:999]))
	require.Len(t, narrowing("resnet18", classes), 1)
	classes[7] = "cat"
	require.Len(t, narrowing("resnet50", classes), 1)
}

// reread is a result as another process finds it.
func reread(t *testing.T, r *Result) *Result {
	file := t.TempDir() + "/result.json"
	require.NoError(t, result.WriteResultFile(file, r.Manifest, r))
	var read Result
	_, err := result.ReadFile(file, &read)
	require.NoError(t, err)
	read.Manifest = r.Manifest
	require.Equal(t, r, &read)
	return &read
}

func TestFigure7aEndToEnd(t *testing.T) {
	l, _, _ := open(t, t.TempDir())
	r := compute(t, l, figure7a(), Options{})
	require.Len(t, r.Units.Rows, 2*96)
	require.Equal(t, []string{"fc1", "fc2"}, []string{r.Relations.Layers[0].Layer, r.Relations.Layers[1].Layer})
	require.Equal(t, 2, r.Relations.Pooled.Networks)
	require.Contains(t, r.Caption[0], "2 networks (mlp:48,48)")
	require.Contains(t, svg(t, r), "fc2")
}

func TestUnitPresetsFollowTheProtocol(t *testing.T) {
	five, err := figure5b().plan("paper", "cifar10")
	require.NoError(t, err)
	for id, d := range map[string]design{"6a": figure6a(), "6b": figure6b(), "7b": figure7b(), "7c": figure7c()} {
		for _, preset := range presets {
			five, err := figure5b().plan(preset, "cifar10")
			require.NoError(t, err)
			p, err := d.plan(preset, "cifar10")
			require.NoError(t, err)
			s := p.Spec.(specUnits)
			require.Equal(t, five.Spec.(spec5b).With, s.Networks, "%s: the networks of Figure 5b", id)
			if strings.HasPrefix(id, "6") {
				require.Equal(t, five.Networks, p.Networks)
				require.Zero(t, s.Impact)
			} else {
				require.Len(t, p.Networks, 4)
				require.Equal(t, preset != "paper", s.Impact.Examples > 0)
			}
			require.Equal(t, lab.On{Split: "test"}, s.On, "all test images")
		}
	}
	require.Len(t, five.Networks, 8)
	p, err := figure7a().plan("paper", "mnist")
	require.NoError(t, err)
	s := p.Spec.(specUnits)
	require.Equal(t, []string{"mlp:128,128", "mlp:128,128"}, []string{s.Networks[0].Net, s.Networks[3].Net})
	require.Equal(t, lab.On{Split: "test"}, s.Impact)
	require.Zero(t, s.Networks[0].Corrupt.Fraction)
	// 10,000 test images once, and 257 times for the ablations, in passes over 60,000: 43.
	require.Equal(t, 43, p.Passes)
	p, err = figure7a().plan("smoke", "mnist10k")
	require.NoError(t, err)
	require.NotContains(t, p.Narrowing, "128 instead of 512 units a layer")
	one, _, err := mlps("smoke", "mnist10k")
	require.NoError(t, err)
	require.Equal(t, one[0], p.Spec.(specUnits).Networks[0], "at smoke the network of Figure 1a")
}

func TestDensities(t *testing.T) {
	axis := result.Axis{Name: "index"}
	curves, kernel, err := densities(axis, 0, 1, []sample{
		{name: "a", networks: [][]float64{{.2, .4}, {.3, .5}, nil}, band: true},
		{name: "none", networks: [][]float64{nil}},
		{name: "constant", networks: [][]float64{{.7, .7, .7}}, band: true},
	})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "constant"}, []string{curves[0].Name, curves[1].Name})
	require.Equal(t, 2, curves[0].N)
	for i, y := range curves[0].Y {
		require.InDelta(t, y, (curves[0].Lo[i]+curves[0].Hi[i])/2, 1e-12, "of two networks with as many units the mean")
	}
	require.Nil(t, curves[1].Lo, "one network has no range")
	// 0.9·min(0.129, IQR/1.34 = 0.15/1.34 = 0.112)·4^(−1/5) = 0.0764; the constant gets the least.
	require.Equal(t, "Densities: Gaussian kernel with a s.d. of 0.005 to 0.076 by Silverman's rule (at least 0.005), reflected at 0 and 1.", kernel)
	require.Equal(t, "per unit of the index", curves[0].YAxis.Unit)

	curves, kernel, err = densities(result.Axis{Name: "information", Unit: "bits"}, math.Inf(-1), math.Inf(1), []sample{
		{name: "a", networks: [][]float64{{1, 2, 3}}},
	})
	require.NoError(t, err)
	require.Less(t, curves[0].X[0], 0.)
	require.NotContains(t, kernel, "reflected")
	require.Equal(t, "per bit", curves[0].YAxis.Unit)
	_, _, err = densities(axis, 0, 1, []sample{{name: "none"}})
	require.ErrorContains(t, err, "index: no unit has any")
}

// related makes layers with these correlations, NaN for none, and a pooled one.
func related(pooled float64, layers ...float64) (r stat.Relations) {
	one := func(rho float64) stat.Relation {
		if math.IsNaN(rho) {
			return stat.Relation{N: 3, Undefined: "x is 1 throughout", LeftOut: 2}
		}
		return stat.Relation{N: 1000, Networks: 4, LeftOut: 2, Spearman: &stat.Correlation{Rho: rho, P: 0.01, N: 1000},
			Interval: &stat.Interval{Lo: rho - 0.1, Hi: rho + 0.1, Level: 0.95}, Line: &stat.Line{}}
	}
	for i, rho := range layers {
		l := one(rho)
		l.Layer = "l" + string(rune('1'+i))
		r.Layers = append(r.Layers, l)
	}
	r.Pooled = one(pooled)
	return r
}

func TestClaimsOfFigure7(t *testing.T) {
	nan := math.NaN()
	c := weakPredictor(related(0.3, -0.5, nan), classSelectivity, impact)
	require.True(t, c.Passed, "0.3 is small")
	require.Equal(t, "ρ = 0.300 (95 % interval 0.200 to 0.400), p = 0.01, n = 1,000 units of 4 networks, 2 left out; by layer l1 -0.50, l2 none", c.Found)
	require.True(t, weakPredictor(related(-0.9, 0), classSelectivity, impact).Passed, "negative, however large")
	require.False(t, weakPredictor(related(0.301, 0), classSelectivity, impact).Passed)
	c = weakPredictor(related(nan, nan), classSelectivity, impact)
	require.False(t, c.Passed, "without a correlation nothing is shown")
	require.Contains(t, c.Found, "no ρ: x is 1 throughout")

	c = earlyNotLate(related(-0.4, -0.5, -0.3, 0.9, 0.9, 0.9, 0.1, -0.3), classSelectivity, impact)
	require.True(t, c.Passed)
	require.Contains(t, c.Found, "-0.400 (2 layers, l1 to l2) and -0.100 (2 layers, l6 to l7)")
	require.False(t, earlyNotLate(related(0, 0, 0, 0), classSelectivity, impact).Passed, "0 is not negative")
	require.False(t, earlyNotLate(related(0, -0.5, 0, 0.21), classSelectivity, impact).Passed)
	require.False(t, earlyNotLate(related(0, -0.5, 0, -0.21), classSelectivity, impact).Passed)
	require.True(t, earlyNotLate(related(0, -0.5, 0), classSelectivity, impact).Passed, "two layers: one early, one late")
	require.False(t, earlyNotLate(related(0, -0.5, 0, nan), classSelectivity, impact).Passed, "no late correlation")
}

func TestClaimOfFigureA2(t *testing.T) {
	table := func(medians ...any) (t result.Table) {
		for _, m := range medians {
			t.Rows = append(t.Rows, []any{"l", 1, 0, nil, m, nil})
		}
		return t
	}
	by := related(0.4).Pooled
	c := increasesWithDepth(table(0.1, 0.3, 0.2, 0.5), by)
	require.True(t, c.Passed)
	require.Contains(t, c.Found, "ρ = 0.800")
	require.Contains(t, c.Found, "n = 4 layers; medians l 0.100, l 0.300, l 0.200, l 0.500; depth and class selectivity of single units: ρ = 0.400")
	require.False(t, increasesWithDepth(table(0.5, 0.3, 0.2, 0.1), by).Passed)
	require.False(t, increasesWithDepth(table(0.3, 0.4, 0.6, 0.2), by).Passed, "the last is below the first")
	require.True(t, increasesWithDepth(table(nil, 0.1, 0.2), by).Passed, "a layer without units does not count")
	c = increasesWithDepth(table(0.1), by)
	require.False(t, c.Passed)
	require.Contains(t, c.Found, "no ρ: 1 pairs are too few")
}

func TestClaimOfFigureA3(t *testing.T) {
	require.True(t, notPositive(related(0, 0.5), classSelectivity, filterNorm).Passed)
	c := notPositive(related(0.01, -0.5, -0.3), classSelectivity, filterNorm)
	require.False(t, c.Passed)
	require.Contains(t, c.Found, "2 left out; mean of 2 layers -0.400: l1 -0.50, l2 -0.30")
	require.False(t, notPositive(related(math.NaN(), 0), classSelectivity, filterNorm).Passed)
}

func TestClaimOfFigure6(t *testing.T) {
	lower := func(with, without []float64, rises bool) result.Claim {
		c, err := normalizationChanges(classSelectivity, rises, with, without, with, without)
		require.NoError(t, err)
		return c
	}
	c := lower([]float64{.1, .2, .3, .4}, []float64{.5, .6, .7, .9}, false)
	require.True(t, c.Passed)
	// Medians .25 and .65; differences −.4, −.4, −.4, −.5, whose mean is −0.425 ± t(0.975, 3)·0.05/2 = 3.1824·0.025.
	require.Equal(t, "0.2500 (n = 4) and 0.6500 (n = 4); difference of a network's median from that of the network with the same seeds "+
		"-0.4250 (95 % interval by Student's t -0.5046 to -0.3454, p = 0.125 of 16 sign flips, n = 4 pairs)", c.Found)
	require.False(t, lower([]float64{.5, .5}, []float64{.5, .5}, false).Passed, "equal is not lower")
	require.False(t, lower([]float64{.1, .2}, []float64{.5, .6}, true).Passed)
	require.True(t, lower([]float64{.5, .6}, []float64{.1, .2}, true).Passed)
}
