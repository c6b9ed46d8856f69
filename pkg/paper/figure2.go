package paper

import (
	"context"
	"fmt"

	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/noise"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// Figure 2: Gaussian noise on all units of all hidden layers of the networks of Figure 1. Protocol: section 2.5; section 6,
// item 8.

type spec2 struct {
	Networks []lab.Spec
	On       lab.On
	Noise    noise.Spec
}

func figure2a() design {
	return figure2(Info{
		ID:    "2a",
		Title: "Noise on the units of an MLP",
		Claim: "Networks that have memorised corrupted labels are much more sensitive to noise",
		Data:  mlpData,
	}, mlps)
}

func figure2b() design {
	return figure2(Info{
		ID:    "2b",
		Title: "Noise on the feature maps of a convolutional network",
		Claim: "Networks that have memorised corrupted labels are much more sensitive to noise",
		Data:  convData,
	}, corruptedConvNets)
}

func figure2(info Info, networks networks) design {
	info.Presets = presets
	return design{
		Info: info,
		plan: func(preset, data string) (plan, error) {
			nets, narrowing, err := networks(preset, data)
			if err != nil {
				return plan{}, err
			}
			s := spec2{Networks: nets, Noise: noise.Spec{Seed: 1}}
			if preset != "paper" {
				s.Noise.Repeats = 5
				narrowing = append(narrowing, "5 noise draws instead of 10")
			}
			s.Noise = s.Noise.WithDefaults()
			return plan{
				Spec: s, Narrowing: narrowing, Networks: nets, Passes: s.Noise.Repeats * len(s.Noise.Scales),
				Seeds: with(corruptionSeeds, "noise", s.Noise.Seed),
			}, nil
		},
		compute: compute2,
		draw:    byCorruption(true),
	}
}

func compute2(ctx context.Context, l *lab.Lab, p plan) (*Result, error) {
	s := p.Spec.(spec2)
	runs, err := trainAll(ctx, l, s.Networks)
	if err != nil {
		return nil, err
	}
	r := &Result{Manifest: result.Manifest{Inputs: inputs(runs)}}
	r.Table = result.Table{Title: "how much noise the networks stand", Columns: []result.Axis{
		{Name: "labels corrupted", Unit: "fraction"}, {Name: "accuracy without noise", Unit: "fraction"},
		{Name: "accuracy at noise 0.5", Unit: "fraction"}, {Name: "accuracy at noise 1", Unit: "fraction"},
		{Name: "noise at which accuracy falls to 0.5", Unit: "s.d. of the unit"},
	}}
	var all []noise.Result
	for _, run := range runs {
		n, err := l.Noise(ctx, run, s.On, s.Noise)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
		part(&r.Manifest, run.Backend, run.Seconds)
		part(&r.Manifest, n.Receipt.Backend, n.Seconds.Total)
		f := run.Spec.Corrupt.Fraction
		r.Curves = append(r.Curves, n.Curve(percent(f)))
		row := []any{f, n.Baseline.Accuracy()}
		for _, scale := range []float64{0.5, 1} {
			a, err := n.At(scale)
			if err != nil {
				return nil, err
			}
			row = append(row, a)
		}
		if half, err := n.ScaleAt(0.5); err == nil {
			row = append(row, half)
		} else {
			row = append(row, nil) // never falls so far, or is there from the start
		}
		r.Table.Rows = append(r.Table.Rows, row)
	}
	r.Caption = []string{fmt.Sprintf("One network (%s) per line; noise on all %s hidden units at once; band: ± s.d. over %d noise draws; %s training images, own labels.",
		s.Networks[0].Net, thousands(all[0].Units), all[0].Repeats, thousands(all[0].Examples))}
	r.Claims = []result.Claim{fitsItsLabels(runs), memorisersAreSensitive(runs, all)}
	return r, nil
}

// memorisersAreSensitive is the acceptance test of Figure 2a (section 8): at the noise scale where the clean network is at
// 0.9, every corrupted network is below 0.5.
func memorisersAreSensitive(runs []*lab.Run, all []noise.Result) result.Claim {
	const clean, corrupted = 0.9, 0.5
	c := result.Claim{
		Name: "Networks that memorised corrupted labels are more sensitive to noise",
		Test: fmt.Sprintf("at the noise scale where the uncorrupted network is at %g, every other network is below %g", clean, corrupted),
	}
	scale, err := all[0].ScaleAt(clean)
	if err != nil {
		c.Found = err.Error()
		return c
	}
	best, at := 0.0, 0
	for i, n := range all[1:] {
		a, err := n.At(scale)
		if err != nil {
			c.Found = err.Error()
			return c
		}
		if a >= best {
			best, at = a, i+1
		}
	}
	c.Found = fmt.Sprintf("at scale %.3f the best of the others (%s corrupted) is at %.3f", scale, percent(runs[at].Spec.Corrupt.Fraction), best)
	c.Passed = best < corrupted
	return c
}
