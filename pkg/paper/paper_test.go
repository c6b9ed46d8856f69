package paper

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/corrupt"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/noise"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// jobs is a lab.Progress that lists what was computed.
type jobs struct{ titles []string }

func (j *jobs) Start(title string, _ int, _ string) lab.Meter {
	j.titles = append(j.titles, title)
	return lab.Silent().Start(title, 0, "")
}

func open(t *testing.T, home string) (l *lab.Lab, computed *jobs, notes *[]string) {
	computed, notes = &jobs{}, &[]string{}
	l, err := lab.Open(lab.Options{
		Home: home, Data: []string{}, Backend: "go", Progress: computed, Note: func(s string) { *notes = append(*notes, s) },
	})
	require.NoError(t, err)
	return l, computed, notes
}

// small is a design at a scale for tests: three networks that memorise 100 images in a second, and few points.
func small(d design) design {
	whole := d.plan
	var nets []lab.Spec
	for _, f := range []float64{0, 0.5, 1} {
		nets = append(nets, lab.Spec{
			Data: "mnist10k", Examples: 100, Net: "mlp:48,48", Corrupt: corrupt.Spec{Fraction: f, Seed: 1},
			Fit: fit.Spec{Optimizer: "adam", LR: 0.005, Batch: 20, Epochs: 60, Evaluate: 60, InitSeed: 1, OrderSeed: 1},
		}.WithDefaults())
	}
	convNets := func(plain bool, n int) []lab.Spec {
		s := lab.Spec{Data: "mnist10k", Examples: 40, Net: "convnet:width=0.03125", Input: "half",
			Fit: fit.Spec{LR: 0.01, Batch: 20, Epochs: 2, Evaluate: 2}}
		if plain {
			s.Net += ",nobn"
		}
		return instances(s, n)
	}
	d.plan = func(preset, data string) (plan, error) {
		p, err := whole(preset, data)
		switch s := p.Spec.(type) {
		case spec1:
			s.Networks, s.Ablate.Orders, s.Ablate.Points = nets, 4, 9
			p.Spec = s
		case spec4:
			s.Network = nets[0]
			s.Network.Fit.Epochs, s.Network.Fit.Checkpoints = 4, []int{1, 2, 4}
			if s.Ablate.Sites != nil {
				s.Network = convNets(false, 1)[0]
				s.Network.Fit.Checkpoints = []int{1, 2}
			}
			s.Ablate.Orders, s.Ablate.Points = 3, 5
			p.Spec = s
		case specEnsemble:
			s.Sweep.Base = nets[0]
			s.Sweep.Base.Fit.Epochs, s.Sweep.Base.Fit.Evaluate, s.Sweep.Base.Fit.Batch = 8, 8, 0
			s.Sweep.Analyses.Ablate.Sites, s.Sweep.Analyses.Ablate.Orders, s.Sweep.Analyses.Ablate.Points = []string{"fc1", "fc2"}, 3, 5
			s.Sweep.Analyses.On.Examples, s.Sweep.Analyses.Test.Examples = 60, 50
			if s.Sweep.Grid != nil { // with a learning rate at which every network diverges
				s.Sweep.Grid[0].Values, s.Sweep.Grid[1].Values = []any{0.0005, 0.01, 1e30}, []any{10, 20}
			} else {
				s.Sweep.Random.Networks = 7
			}
			networks, _, err := s.Sweep.Networks()
			if err != nil {
				return p, err
			}
			s.Networks, s.Analyses = nil, s.Sweep.Analyses.WithDefaults()
			for _, n := range networks {
				s.Networks = append(s.Networks, n.Spec)
			}
			p.Spec, p.Networks = s, s.Networks
		case spec5a:
			for i := range s.True {
				s.True[i], s.Permuted[i] = nets[0], nets[2]
				for _, n := range []*lab.Spec{&s.True[i], &s.Permuted[i]} {
					n.Fit.Dropout, n.Fit.Epochs, n.Fit.Evaluate = dropouts[i], 4, 4
				}
			}
			s.Ablate.Orders, s.Ablate.Points = 3, 5
			p.Spec = s
		case spec5b:
			s.With, s.Without, s.Test.Examples, s.Ablate.Orders, s.Ablate.Points = convNets(false, 2), convNets(true, 2), 30, 3, 4
			p.Spec = s
		case specA1:
			s.Networks = convNets(false, 2)
			for i := range s.Ablate {
				s.Ablate[i].Orders, s.Ablate[i].Points = 3, 4
			}
			p.Spec = s
		case specUnits:
			s.On.Examples = 60
			if s.Impact != (lab.On{}) {
				s.Impact.Examples = 30
			}
			switch {
			case strings.HasPrefix(s.Networks[0].Net, "mlp"):
				s.Networks = instances(nets[0], 2)
			case strings.HasPrefix(s.Networks[0].Net, "resnet"):
				s.Networks[0].Examples, s.Networks[0].Fit.Epochs, s.Networks[0].Fit.Evaluate = 20, 1, 1
			default:
				s.Networks = convNets(false, 2)
			}
			if s.Plain != nil {
				s.Plain = convNets(true, 2)
			}
			p.Spec = s
		case specAmjad:
			s.Networks, s.Rank.Examples, s.On.Examples = instances(nets[0], 2), 60, 60
			s.Random.Orders, s.Random.Points = 2, 5
			p.Spec = s
		case specRanadive:
			s.On.Examples, s.Impact.Examples = 60, 30
			p.Spec = s
		case specLeavitt:
			s.On.Examples = 60
			for i := range s.Networks {
				for k := range s.Networks[i] {
					s.Networks[i][k].Examples = 100
				}
			}
			p.Spec = s
		case spec2:
			s.Networks, s.Noise.Repeats = nets, 2
			s.Noise.Scales = []float64{0.1, 0.3, 1, 3, 10}
			p.Spec = s
		}
		return p, err
	}
	return d
}

func compute(t *testing.T, l *lab.Lab, d design, opt Options) *Result {
	r, err := small(d).result(context.Background(), l, opt)
	require.NoError(t, err)
	return r
}

func svg(t *testing.T, r *Result) string {
	f, err := r.Figure()
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, f.WriteSVG(&b))
	return b.String()
}

func TestFiguresEndToEnd(t *testing.T) {
	home := t.TempDir()
	l, computed, _ := open(t, home)
	one := compute(t, l, figure1a(), Options{})
	require.Len(t, computed.titles, 6, "three networks trained and ablated: %q", computed.titles)
	two := compute(t, l, figure2a(), Options{})
	require.Len(t, computed.titles, 9, "the networks of Figure 2a are those of Figure 1a: %q", computed.titles)

	for id, r := range map[string]*Result{"1a": one, "2a": two} {
		require.Equal(t, []string{id, "smoke", "mnist10k"}, []string{r.ID, r.Preset, r.Data})
		require.Len(t, r.Curves, 3)
		for i, name := range []string{"0 %", "50 %", "100 %"} {
			require.Equal(t, name, r.Curves[i].Name)
			require.NoError(t, r.Curves[i].Check())
			require.NotNil(t, r.Curves[i].Lo, "a band")
		}
		require.Len(t, r.Table.Rows, 3)
		require.Contains(t, r.Caption[0], "mlp:48,48")
		require.Contains(t, r.Caption[0], "96 ")
		require.Contains(t, r.Caption[0], "100 training images")
		require.Contains(t, r.Caption[1], "Preset smoke. Smaller than the paper: 128 instead of 512 units a layer; 2,000 training images")
		require.True(t, strings.HasSuffix(r.Caption[1], "."))
		require.True(t, r.Claims[0].Passed, "%+v", r.Claims[0])
		require.Len(t, r.Claims, map[string]int{"1a": 3, "2a": 2}[id]) // the last ones are about more images than 100

		m := r.Manifest
		require.Len(t, m.Key, 32)
		require.Equal(t, "go", m.Backend)
		require.Positive(t, m.Seconds)
		require.Equal(t, uint64(1), m.Seeds["corruption"])
		require.Contains(t, m.Narrowing, "2,000 training images")
		require.Len(t, m.Inputs, 4)
		runs, err := l.Runs()
		require.NoError(t, err)
		require.Len(t, runs, 3)
		for _, run := range runs {
			require.Equal(t, run.Key, m.Inputs["network, "+percent(run.Spec.Corrupt.Fraction)+" labels corrupted"])
			require.Equal(t, run.Data, m.Inputs["data set mnist10k"])
		}

		picture := svg(t, r)
		require.Contains(t, picture, "Figure "+id+". ")
		// A result that was stored is the same, to the pixel.
		text, err := json.Marshal(r)
		require.NoError(t, err)
		var read Result
		require.NoError(t, json.Unmarshal(text, &read))
		read.Manifest = m
		require.Equal(t, *r, read)
		require.Equal(t, picture, svg(t, &read))
	}
	require.Contains(t, one.Manifest.Seeds, "orderings")
	require.Contains(t, two.Manifest.Seeds, "noise")
	require.Equal(t, 1.0, one.Table.Rows[0][1], "the train accuracy of the first network")

	// Another process finds both in the store, and computes nothing.
	l, computed, _ = open(t, home)
	again := compute(t, l, figure1a(), Options{})
	require.Empty(t, computed.titles)
	require.Equal(t, svg(t, one), svg(t, again))
	require.Equal(t, one.Manifest.Key, again.Manifest.Key)
	require.Equal(t, one.Manifest.Seconds, again.Manifest.Seconds)
	// Recompute takes networks and analyses from the store, unless the lab recomputes them too.
	again = compute(t, l, figure1a(), Options{Recompute: true})
	require.Empty(t, computed.titles)
	require.Equal(t, one.Table, again.Table)

	t.Run("results by name", func(t *testing.T) { resultsByName(t, home, one) })
}

// resultsByName: a folder of results, as beside the notebooks, in a store that has the figure too.
func resultsByName(t *testing.T, home string, one *Result) {
	folder := filepath.Join(t.TempDir(), "results")
	file := filepath.Join(folder, "figure-1a-smoke-mnist10k.json")
	l, _, notes := open(t, home)
	compute(t, l, figure1a(), Options{Results: folder})
	require.NoFileExists(t, file, "saved only if asked for")
	compute(t, l, figure1a(), Options{Results: folder, Save: true})
	var saved Result
	m, err := result.ReadFile(file, &saved)
	require.NoError(t, err)
	require.Equal(t, one.Manifest.Key, m.Key)
	require.Equal(t, one.Curves, saved.Curves)
	require.Empty(t, *notes)

	// What is there is read, by a lab whose store is empty.
	saved.Caption = []string{"as saved"}
	require.NoError(t, result.WriteResultFile(file, m, &saved))
	fresh, computed, _ := open(t, t.TempDir())
	r := compute(t, fresh, figure1a(), Options{Results: folder})
	require.Empty(t, computed.titles)
	require.Equal(t, []string{"as saved"}, r.Caption)
	require.Equal(t, one.Manifest.Key, r.Manifest.Key)

	// The result of another version is left alone, with a note.
	m.Key = strings.Repeat("0", 32)
	require.NoError(t, result.WriteResultFile(file, m, &saved))
	l, computed, notes = open(t, home)
	r = compute(t, l, figure1a(), Options{Results: folder})
	require.Equal(t, one.Caption, r.Caption)
	require.Equal(t, []string{file + " belongs to another version of figure 1a; computing it anew"}, *notes)
	require.Empty(t, computed.titles)
	// Unless it is to be saved.
	compute(t, l, figure1a(), Options{Results: folder, Save: true, Recompute: true})
	m, err = result.ReadFile(file, nil)
	require.NoError(t, err)
	require.Equal(t, one.Manifest.Key, m.Key)

	// A damaged one is an error, wherever it is.
	require.NoError(t, os.Truncate(file, 1000))
	_, err = small(figure1a()).result(context.Background(), l, Options{Results: folder})
	require.ErrorContains(t, err, file+" is not usable")
	require.ErrorContains(t, err, "delete it")
	stored := filepath.Join(home, "results", one.Manifest.Key+".json")
	require.NoError(t, os.Truncate(stored, 1000))
	_, err = small(figure1a()).result(context.Background(), l, Options{})
	require.ErrorContains(t, err, stored+" is not usable")
	require.Equal(t, one.Table, compute(t, l, figure1a(), Options{Results: folder, Save: true, Recompute: true}).Table, "which mends both")
	require.Equal(t, one.Table, compute(t, l, figure1a(), Options{Results: folder}).Table)
	require.Equal(t, one.Table, compute(t, l, figure1a(), Options{}).Table)

	require.NoError(t, os.RemoveAll(folder))
	require.NoError(t, os.WriteFile(folder, nil, 0o644))
	_, err = small(figure1a()).result(context.Background(), l, Options{Results: folder, Save: true})
	require.ErrorContains(t, err, folder)
}

func TestInterrupted(t *testing.T) {
	l, _, _ := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Compute(ctx, l, "1a", Options{})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "figure 1a: ")
}

func TestErrors(t *testing.T) {
	l, computed, _ := open(t, t.TempDir())
	for _, c := range []struct {
		id   string
		opt  Options
		want string
	}{
		{"9", Options{}, `figure "9" is not one of [1a 1b `},
		{"", Options{}, `figure "" is not one of [1a 1b `},
		{"1a", Options{Preset: "huge"}, `figure 1a: preset "huge" is not one of [smoke quick paper]`},
		{"2a", Options{Data: "cifar"}, `figure 2a: no data set "cifar": there are mnist10k, mnist, fashion-mnist`},
		{"1b", Options{Preset: "quick", Data: "mnist"}, `figure 1b: data set "mnist" is not one of [mnist10k cifar10]`},
		{"1a", Options{Save: true}, "figure 1a: the result is to be saved, but there is no folder for it"},
	} {
		_, err := Compute(context.Background(), l, c.id, c.opt)
		require.ErrorContains(t, err, c.want)
	}
	d := figure1a()
	d.Data = []string{"mnist"}
	_, err := d.result(context.Background(), l, Options{Data: "mnist10k"})
	require.EqualError(t, err, `data set "mnist10k" is not one of [mnist]`)
	require.Empty(t, computed.titles)
	_, err = (&Result{ID: "3c"}).Figure()
	require.ErrorContains(t, err, `figure "3c" is not one of [1a 1b `)
}

func TestList(t *testing.T) {
	infos := List()
	require.Equal(t, len(designs()), len(infos))
	for _, i := range infos {
		require.NotEmpty(t, i.Title)
		require.NotEmpty(t, i.Claim)
		require.Equal(t, []string{"smoke", "quick", "paper"}, i.Presets)
		d, err := lookup(i.ID)
		require.NoError(t, err)
		for _, preset := range i.Presets {
			for _, data := range i.Data {
				if i.Run && preset != "smoke" {
					_, err := d.plan(preset, data)
					require.ErrorContains(t, err, "directions import")
					continue
				}
				p, err := d.plan(preset, data)
				require.NoError(t, err)
				if i.After == "" || preset != "paper" { // other papers' networks are larger than any preset's
					require.Equal(t, preset == "paper", len(p.Narrowing) == 0, "figure %s %s: the paper's preset leaves nothing out", i.ID, preset)
				}
				require.NotEmpty(t, p.Networks)
				require.Positive(t, p.Passes)
			}
		}
		_, err = d.plan("tiny", "mnist")
		require.ErrorContains(t, err, `"tiny"`)
	}
	require.Equal(t, "figure-1a-quick-mnist.json", FileName("1a", "quick", "mnist"))
}

// Recorded when version was 1. A change here means that committed figures and trained networks no longer belong to
// their presets.
func TestKeysAreStable(t *testing.T) {
	networks := map[string][]string{
		"smoke mnist10k": {"ef53fddc597b7091763ec0cc16b69818", "5e984b1420cba3a8f8e8ff086d443f79", "11ec8f78312e992a7d1d46dc7fb92439", "be38c706db5a035a228c641f0809af97", "18d164d788f6a298002cfb4f877f704c", "b81950402ab15680a9e9efbab41d3da1"},
		"quick mnist":    {"39ea5337e6c0e09ac857eb41a59f3cc7", "6ec2df56a33978716d9d98c725ac8b5f", "2b212c53ad6c9c687882b8002074b094", "a7fe43c666e0202f9e32c93218ba0317", "c4db00239da7c67781d5dc7418bd4580", "d1d808d7e62bda019a9ec1c0456d7ece"},
		"paper mnist":    {"467ae9d81212bd86ad4042884560f318", "e567d76968af6373ae24ae6b9f51664e", "108fad02df4a772796dd6b3d87737737", "9906abfdcac1ec5604cf9cd09425757c", "eb30d905540d9687860606a36ad1ba63", "2366261fd958e8dff64437e0b7f3b23f"},
	}
	for what, want := range networks {
		preset, data, _ := strings.Cut(what, " ")
		specs, _, err := mlps(preset, data)
		require.NoError(t, err)
		var keys []string
		for i, s := range specs {
			require.Equal(t, fractions[i], s.Corrupt.Fraction)
			key, err := s.Key()
			require.NoError(t, err)
			keys = append(keys, key)
		}
		require.Equal(t, want, keys, what)
	}
	for what, want := range map[string]string{
		"1a smoke mnist10k": "886e097c21dc97b82cfb1004b0bef122", "1a quick mnist": "349b4d105fdba6c7876e968dce1f1d4b", "1a paper mnist": "21e9e962392ff3507fa1ff1458f61ffb",
		"2a smoke mnist10k": "9e069581803ef36e6f368771c5c00d27", "2a quick mnist": "240122004e7311effddf57ccc39b8d15", "2a paper mnist": "d23076c93b05fcf935c6cfcdd6f05e5c",
	} {
		f := strings.Fields(what)
		d, err := lookup(f[0])
		require.NoError(t, err)
		p, err := d.plan(f[1], f[2])
		require.NoError(t, err)
		e, err := datasets.Lookup(f[2])
		require.NoError(t, err)
		key, err := result.Key("figure", version, f[0], e.Hash(), p.Spec)
		require.NoError(t, err)
		require.Equal(t, want, key, what)
	}
}

func TestPresetsFollowTheProtocol(t *testing.T) {
	p, err := figure1a().plan("paper", "mnist")
	require.NoError(t, err)
	one := p.Spec.(spec1)
	require.Len(t, one.Networks, 6)
	require.Equal(t, lab.On{}, one.On, "all training images, own labels")
	require.Equal(t, ablate.Spec{Orders: 10, Points: 20, Seed: 1}, one.Ablate)
	require.Equal(t, 640, one.Networks[0].Fit.Epochs)
	require.Equal(t, "mlp:512,512", one.Networks[0].Net)
	p, err = figure2a().plan("paper", "mnist")
	require.NoError(t, err)
	two := p.Spec.(spec2)
	require.Equal(t, one.Networks, two.Networks)
	require.Equal(t, noise.Spec{Scales: noise.DefaultScales(), Repeats: 10, Seed: 1}, two.Noise)
	p, err = figure2a().plan("quick", "mnist")
	require.NoError(t, err)
	require.Equal(t, 5, p.Spec.(spec2).Noise.Repeats)
	require.Contains(t, p.Narrowing, "5 noise draws instead of 10")
}

func TestFigures5bAndA1EndToEnd(t *testing.T) {
	l, computed, _ := open(t, t.TempDir())
	r := compute(t, l, figure5b(), Options{})
	require.Len(t, r.Curves, 2)
	for i, name := range []string{"with", "without"} {
		require.Equal(t, name, r.Curves[i].Name)
		require.Equal(t, []float64{0, 16, 32, 48}, r.Curves[i].X, "3 layers of 16 feature maps")
		require.Equal(t, "± s.d. over 2 networks × 3 orderings", r.Curves[i].Band)
	}
	require.Len(t, r.Table.Rows, 4)
	require.Equal(t, "Mean over 2 networks (convnet:width=0.03125, convnet:width=0.03125,nobn) × 3 random orderings of the 48 feature maps of "+
		"conv9 to conv11; 40 training images, true labels.", r.Caption[0])
	require.Len(t, r.Manifest.Inputs, 5)
	require.Contains(t, r.Manifest.Inputs, "network 2 without batch normalization")
	require.Contains(t, svg(t, r), "Figure 5b. ")

	computed.titles = nil
	a := compute(t, l, figureA1(), Options{})
	require.Len(t, computed.titles, 2*2, "Figure 5b has trained the networks, and ablated to zero: %q", computed.titles)
	for _, title := range computed.titles {
		require.Contains(t, title, "ablating")
	}
	require.Len(t, a.Curves, 3)
	require.Equal(t, []string{"zero", "mean of each element", "mean of the map (variant)"},
		[]string{a.Curves[0].Name, a.Curves[1].Name, a.Curves[2].Name})
	with := r.Curves[0]
	with.Name = "zero"
	require.Equal(t, with, a.Curves[0])
	require.NotEqual(t, a.Curves[1].Y, a.Curves[0].Y)
	require.NotEqual(t, a.Curves[1].Y, a.Curves[2].Y)
	require.Len(t, a.Table.Rows, 6)
	require.Equal(t, r.Table.Rows[0][4], a.Table.Rows[0][3], "AUC of the first network")
	require.Equal(t, "Mean over 2 networks (convnet:width=0.03125) × 3 random orderings of the 48 feature maps of conv9 to conv11; "+
		"40 training images, true labels; means are those over them.", a.Caption[0])
	require.Equal(t, r.Manifest.Inputs["network 2 with batch normalization"], a.Manifest.Inputs["network 2"])
	require.Contains(t, a.Claims[1].Test, "in each of 2 networks")
	require.Contains(t, svg(t, a), "Figure A1. ")
}

func TestClaimZeroIsLessDamaging(t *testing.T) {
	zero, mean := []ablate.Result{{AUC: 0.8}, {AUC: 0.7}}, []ablate.Result{{AUC: 0.6}, {AUC: 0.69}}
	c := zeroIsLessDamaging(zero, mean)
	require.True(t, c.Passed)
	require.Equal(t, "in 2 of 2: 0.8000 and 0.6000, 0.7000 and 0.6900", c.Found)
	mean[1].AUC = 0.7
	c = zeroIsLessDamaging(zero, mean)
	require.False(t, c.Passed, "equal is not greater")
	require.Contains(t, c.Found, "in 1 of 2")
}

func TestConvNets(t *testing.T) {
	p, err := figure1b().plan("paper", "cifar10")
	require.NoError(t, err)
	one := p.Spec.(spec1)
	require.Len(t, one.Networks, 6)
	require.Equal(t, []string{"convnet", "half"}, []string{one.Networks[0].Net, one.Networks[0].Input})
	require.Equal(t, []string{"conv9", "conv10", "conv11"}, one.Ablate.Sites)
	require.Zero(t, one.Networks[0].Examples, "all of them")
	require.Equal(t, 200, p.Passes)
	p, err = figure2b().plan("paper", "cifar10")
	require.NoError(t, err)
	require.Equal(t, one.Networks, p.Spec.(spec2).Networks)
	require.Empty(t, p.Spec.(spec2).Noise.Sites, "all layers get noise, not only the last three")
	p, err = figure5b().plan("paper", "cifar10")
	require.NoError(t, err)
	five := p.Spec.(spec5b)
	require.Len(t, p.Networks, 8)
	require.Equal(t, "convnet:nobn", five.Without[0].Net)
	seeds := map[uint64]bool{}
	for _, s := range five.With {
		require.Zero(t, s.Corrupt.Fraction)
		require.Equal(t, s.Fit.InitSeed, s.Fit.OrderSeed)
		seeds[s.Fit.InitSeed] = true
	}
	require.Len(t, seeds, 4)
	for _, preset := range presets {
		p, err = figure5b().plan(preset, "cifar10")
		require.NoError(t, err)
		a, err := figureA1().plan(preset, "cifar10")
		require.NoError(t, err)
		require.Equal(t, p.Spec.(spec5b).With, a.Spec.(specA1).Networks, "the same runs")
		require.Equal(t, p.Spec.(spec5b).Ablate, a.Spec.(specA1).Ablate[0])
		require.Equal(t, 600, a.Passes)
	}
}

func TestClaimNormalizedIsMoreRobust(t *testing.T) {
	aucs := func(values ...float64) (all []ablate.Result) {
		for _, v := range values {
			all = append(all, ablate.Result{AUC: v})
		}
		return all
	}
	c := normalizedIsMoreRobust(aucs(0.7, 0.6), aucs(0.5, 0.4))
	require.True(t, c.Passed)
	require.Equal(t, "in 4 of 4; smallest AUC with 0.6000, largest without 0.5000", c.Found)
	c = normalizedIsMoreRobust(aucs(0.7, 0.45), aucs(0.5, 0.4))
	require.False(t, c.Passed)
	require.Equal(t, "in 3 of 4; smallest AUC with 0.4500, largest without 0.5000", c.Found)
	require.False(t, normalizedIsMoreRobust(aucs(0.5), aucs(0.5)).Passed, "equal is not greater")
}

func TestAnnounce(t *testing.T) {
	l, computed, notes := open(t, t.TempDir())
	p, err := small(figure1a()).plan("smoke", "mnist10k")
	require.NoError(t, err)
	p.Networks = p.Spec.(spec1).Networks
	require.NoError(t, announce(context.Background(), l, p))
	require.Empty(t, computed.titles, "nothing is trained")
	// 2·(784·48 + 48·48 + 48·10) operations an example and pass: 3 networks × 60 epochs × 100 images × 3, 3 × 200 × 100.
	require.Len(t, *notes, 3)
	require.Contains(t, (*notes)[0], "3 of 3 networks are to be trained: 4.4e+09 FLOP, about ")
	require.Contains(t, (*notes)[1], "200 passes over the training examples of each network: 4.8e+09 FLOP, at most ")
}

// made are made-up runs with these fractions of corrupted labels and train accuracies.
func made(fractions, accuracies []float64) []*lab.Run {
	var runs []*lab.Run
	for i, f := range fractions {
		runs = append(runs, &lab.Run{Spec: lab.Spec{Corrupt: corrupt.Spec{Fraction: f}}, Final: &fit.Measured{TrainAccuracy: accuracies[i]}})
	}
	return runs
}

func TestClaimFits(t *testing.T) {
	c := fitsItsLabels(made([]float64{0, 0.5, 1}, []float64{1, 0.99, 1}))
	require.True(t, c.Passed, "0.99 is enough")
	require.Equal(t, "0.99000, with 50 % of the labels corrupted; 3 networks", c.Found)
	c = fitsItsLabels(made([]float64{0, 0.5, 1}, []float64{1, 1, 0.98999}))
	require.False(t, c.Passed)
	require.Equal(t, "0.98999, with 100 % of the labels corrupted; 3 networks", c.Found)
}

func TestClaimMemorisersFallFaster(t *testing.T) {
	runs := made([]float64{0, 0.2, 0.4, 1}, []float64{1, 1, 1, 1})
	curves := func(aucs ...float64) (all []ablate.Result) {
		for _, a := range aucs {
			all = append(all, ablate.Result{AUC: a, Orders: 10})
		}
		return all
	}
	// 0.8 − 0.6 = 0.2 against 3·√(0.03² + 0.04²) = 0.15.
	c := memorisersFallFaster(runs, curves(0.8, 0.5, 0.6, 0.3), []float64{0.03, 0.9, 0.04, 0.9})
	require.True(t, c.Passed)
	require.Equal(t, "0.8000 − 0.6000 (40 % corrupted) = 0.2000 = 4.0 s.d. (s.d. 0.0500, 10 orderings)", c.Found)
	// 0.14 is too little.
	c = memorisersFallFaster(runs, curves(0.74, 0.5, 0.6, 0.3), []float64{0.03, 0.9, 0.04, 0.9})
	require.False(t, c.Passed)
	// One corrupted network that falls more slowly than the clean one.
	c = memorisersFallFaster(runs, curves(0.8, 0.5, 0.6, 0.9), []float64{0.01, 0.01, 0.01, 0.01})
	require.False(t, c.Passed)
	require.Contains(t, c.Found, "(100 % corrupted) = -0.1000")
	// Without any spread over orderings a difference is enough.
	require.True(t, memorisersFallFaster(runs, curves(0.8, 0.5, 0.6, 0.3), make([]float64, 4)).Passed)
	require.False(t, memorisersFallFaster(runs, curves(0.6, 0.5, 0.6, 0.3), make([]float64, 4)).Passed)
}

func TestClaimConstantAtTheEnd(t *testing.T) {
	end := func(byClass ...int) ablate.Result {
		s := unit.Score{Examples: 100, ByClass: byClass}
		for _, n := range byClass {
			s.Correct += n
		}
		return ablate.Result{AllAblated: &s}
	}
	c := constantAtTheEnd([]ablate.Result{end(0, 12, 0), end(0, 0, 9)})
	require.True(t, c.Passed)
	require.Equal(t, "accuracy 0.0900 to 0.1200 over 2 networks", c.Found)
	require.False(t, constantAtTheEnd([]ablate.Result{end(0, 12, 0), end(1, 0, 9)}).Passed, "two classes")
	require.False(t, constantAtTheEnd([]ablate.Result{end(0, 0, 0)}).Passed, "no class at all")
}

func TestClaimSensitive(t *testing.T) {
	runs := made([]float64{0, 0.2, 1}, []float64{1, 1, 1})
	curves := func(means ...[]float64) (all []noise.Result) {
		for _, m := range means {
			all = append(all, noise.Result{Scales: []float64{0.1, 1, 10}, Mean: m, Baseline: unit.Score{Examples: 10, Correct: 10}})
		}
		return all
	}
	clean := []float64{1, 0.9, 0.2} // 0.9 at scale 1
	c := memorisersAreSensitive(runs, curves(clean, []float64{1, 0.49, 0.1}, []float64{1, 0.3, 0.1}))
	require.True(t, c.Passed)
	require.Equal(t, "at scale 1.000 the best of the others (20 % corrupted) is at 0.490", c.Found)
	c = memorisersAreSensitive(runs, curves(clean, []float64{1, 0.3, 0.1}, []float64{1, 0.5, 0.1}))
	require.False(t, c.Passed, "below, not at")
	require.Contains(t, c.Found, "(100 % corrupted) is at 0.500")
	// The clean network is never at 0.9: the claim cannot be tested, which is not a pass.
	c = memorisersAreSensitive(runs, curves([]float64{0.85, 0.8, 0.7}, []float64{1, 0, 0}, []float64{1, 0, 0}))
	require.False(t, c.Passed)
	require.Contains(t, c.Found, "below 0.9 at the smallest noise scale already")
	c = memorisersAreSensitive(runs, curves([]float64{1, 0.99, 0.95}, []float64{1, 0, 0}, []float64{1, 0, 0}))
	require.False(t, c.Passed)
	require.Contains(t, c.Found, "never falls to 0.9")
	// All others at 0: they are named all the same.
	c = memorisersAreSensitive(runs, curves(clean, []float64{0, 0, 0}, []float64{0, 0, 0}))
	require.True(t, c.Passed)
	require.Contains(t, c.Found, "is at 0.000")
}

func TestPassed(t *testing.T) {
	require.True(t, (&Result{}).Passed())
	require.True(t, (&Result{Claims: []result.Claim{{Passed: true}}}).Passed())
	require.False(t, (&Result{Claims: []result.Claim{{Passed: true}, {}}}).Passed())
}

func TestWords(t *testing.T) {
	require.Equal(t, []string{"7", "999", "1,000", "60,000", "1,234,567"},
		[]string{thousands(7), thousands(999), thousands(1000), thousands(60000), thousands(1234567)})
	require.Equal(t, "20 %", percent(0.2))
	require.Equal(t, []string{"90 s", "12 min", "3.5 h", "9 days"},
		[]string{about(90 * time.Second), about(12 * time.Minute), about(210 * time.Minute), about(216 * time.Hour)})
	require.Equal(t, "Preset paper.", caption("paper", nil))
	require.Equal(t, "Preset quick. Smaller than the paper: a; b.", caption("quick", []string{"a", "b"}))
}

func ExampleList() {
	for _, f := range List() {
		fmt.Printf("%s: %s\n", f.ID, f.Title)
	}
	// Output:
	// 1a: Cumulative ablation of an MLP
	// 1b: Cumulative ablation of a convolutional network's last three layers
	// 2a: Noise on the units of an MLP
	// 2b: Noise on the feature maps of a convolutional network
	// 3a: Cumulative ablation of networks that generalize well and badly
	// 3b: Generalization error and robustness to ablation
	// 4a: Loss and robustness to ablation during training
	// 4b: Robustness to ablation and test loss during training
	// 4b-convnet: Robustness to ablation and test loss while a convolutional network trains
	// 4c: Robustness to ablation and test accuracy over hyperparameters
	// 5a: Dropout and cumulative ablation of an MLP
	// 5b: Batch normalization and cumulative ablation
	// 6a: Class selectivity with and without batch normalization
	// 6b: Mutual information with and without batch normalization
	// 7a: Class selectivity and impact of the units of an MLP
	// 7b: Class selectivity and impact of the feature maps of a convolutional network
	// 7c: Correlation of class selectivity and impact, by layer of a convolutional network
	// 7d: Class selectivity and impact of the feature maps of a residual network
	// 7e: Correlation of class selectivity and impact, by block of a residual network
	// A1: Ablation to zero and to the empirical mean
	// A2a: Class selectivity by layer of a convolutional network
	// A2b: Class selectivity by block of a residual network
	// A3a: Class selectivity and filter norm in a residual network
	// A3b: Class selectivity and filter norm in a convolutional network
	// A4a: Mutual information and impact of the units of an MLP
	// A4b: Mutual information and impact of the feature maps of a convolutional network
	// A4c: Correlation of mutual information and impact, by layer of a convolutional network
	// A4d: Mutual information and impact of the feature maps of a residual network
	// A4e: Correlation of mutual information and impact, by block of a residual network
	// zhou: What ablating one unit costs, overall and in the class hit hardest
	// amjad: Ablation of a layer in the order of what its units tell about the class
	// ranadive: Class selectivity and impact of units over training
	// leavitt: Networks trained for or against class selectivity
	// scoreboard: What predicts generalization without held-out images
}
