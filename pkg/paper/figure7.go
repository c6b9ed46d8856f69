package paper

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/figure"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Figure 7: the class selectivity of a unit against what its ablation does to the test loss: (a) of the units of MLPs, (b)
// of the feature maps of convolutional networks with (c) the correlation in each layer, (d) and (e) the same of a residual
// network. Protocol: section 2.7; section 6, items 9, 11, 21 and 23.

func figure7a() design {
	return scatterFigure(Info{
		ID:    "7a",
		Title: "Class selectivity and impact of the units of an MLP",
		Claim: "The class selectivity of a unit hardly predicts what its ablation does",
		Data:  mlpData,
	}, smallMLPs(), classSelectivity, impact, weakPredictor)
}

func figure7b() design {
	return scatterFigure(Info{
		ID:    "7b",
		Title: "Class selectivity and impact of the feature maps of a convolutional network",
		Claim: "The more selective a feature map, the less its ablation does, if anything",
		Data:  convData,
	}, normalizedConvNets(true), classSelectivity, impact, weakPredictor)
}

func figure7c() design {
	return layersFigure(Info{
		ID:    "7c",
		Title: "Correlation of class selectivity and impact, by layer of a convolutional network",
		Claim: "In early layers selective feature maps matter less, in late ones selectivity says nothing",
		Data:  convData,
	}, normalizedConvNets(true), classSelectivity, impact, earlyNotLate)
}

func figure7d() design {
	return scatterFigure(Info{
		ID:    "7d",
		Title: "Class selectivity and impact of the feature maps of a residual network",
		Claim: "The more selective a feature map, the less its ablation does, if anything",
		Data:  resNetData,
	}, resNets(true), classSelectivity, impact, weakPredictor)
}

func figure7e() design {
	return layersFigure(Info{
		ID:    "7e",
		Title: "Correlation of class selectivity and impact, by block of a residual network",
		Claim: "In early layers selective feature maps matter less, in late ones selectivity says nothing",
		Data:  resNetData,
	}, resNets(true), classSelectivity, impact, earlyNotLate)
}

// subjects are the networks whose units a figure measures: trained at every preset, or at smoke only and else given.
type subjects struct {
	trained networksOf
	given   func(preset string, k known) (specUnits, plan)
}

// networksOf is which networks a figure about units measures at a preset, and how.
type networksOf func(preset, data string) (specUnits, plan, error)

// normalizedConvNets are those of Figure 5b with batch normalization (section 3).
func normalizedConvNets(ablated bool) subjects {
	return subjects{trained: func(preset, data string) (specUnits, plan, error) { return convUnits(preset, data, false, ablated) }}
}

// smallMLPs are four MLPs of 128 units a layer, with true labels.
func smallMLPs() subjects { return subjects{trained: mlpUnits} }

func mlpUnits(preset, data string) (specUnits, plan, error) {
	nets, narrowing, err := mlps(preset, data)
	if err != nil {
		return specUnits{}, plan{}, err
	}
	base := nets[0]
	base.Net = "mlp:128,128"
	narrowing = slices.DeleteFunc(narrowing, func(n string) bool { return n == "128 instead of 512 units a layer" })
	s := unitSpec()
	s.Networks, s.Impact = instances(base, len(instanceSeeds)), lab.On{Split: "test"}
	p := plan{Narrowing: narrowing, Networks: s.Networks, Seeds: with(seedsOfInstances(0), "permutations of labels", s.Measure.Seed)}
	delete(p.Seeds, "orderings")
	p.Passes, err = passesFor(data, base, 256, s.Impact)
	return s, p, err
}

// claimOn tests what the paper says of how two measures go together.
type claimOn func(r stat.Relations, x, y measure) result.Claim

// scatterFigure draws two measures of all units against each other, with a line for each layer.
func scatterFigure(info Info, networks subjects, x, y measure, claim claimOn) design {
	d := relationFigure(info, networks, x, y, true, claim)
	d.draw = func(r *Result) (*figure.Figure, error) { return drawScatter(r, x, y) }
	return d
}

// layersFigure draws the correlation of two measures in each layer, and pooled.
func layersFigure(info Info, networks subjects, x, y measure, claim claimOn) design {
	d := relationFigure(info, networks, x, y, false, claim)
	d.draw = func(r *Result) (*figure.Figure, error) { return drawLayers(r, x, y) }
	return d
}

func relationFigure(info Info, networks subjects, x, y measure, rows bool, claim claimOn) design {
	return unitFigure(info, networks, func(r *Result, units population) ([]result.Claim, error) {
		if err := relate(r, units, x, y, rows); err != nil {
			return nil, err
		}
		return []result.Claim{claim(*r.Relations, x, y)}, nil
	})
}

// unitFigure is a figure about the units of some networks, without its drawing.
func unitFigure(info Info, networks subjects, fill func(r *Result, units population) ([]result.Claim, error)) design {
	info.Presets, info.Run = presets, networks.given != nil
	d := design{
		Info: info,
		plan: func(preset, data string) (plan, error) {
			s, p, err := networks.trained(preset, data)
			p.Spec = s
			return p, err
		},
		compute: func(ctx context.Context, l *lab.Lab, p plan) (*Result, error) {
			s := p.Spec.(specUnits)
			r := &Result{Manifest: result.Manifest{Inputs: map[string]string{}}}
			units, err := s.all(ctx, l, &r.Manifest)
			if err != nil {
				return nil, err
			}
			if s.Given == nil { // how a given network was trained is not ours to judge
				r.Claims = []result.Claim{fitsItsLabels(units.runs)}
			}
			claims, err := fill(r, units)
			r.Claims = append(r.Claims, claims...)
			return r, err
		},
	}
	if networks.given != nil {
		d.given = func(preset string, k known) plan {
			s, p := networks.given(preset, k)
			p.Spec = s
			return p
		}
	}
	return d
}

// relate fills in what a figure of two measures shows.
func relate(r *Result, units population, x, y measure, rows bool) error {
	pairs, err := units.pairs(x, y)
	if err != nil {
		return err
	}
	relations, err := stat.Relate(pairs, relateOptions)
	if err != nil {
		return err
	}
	r.Relations = &relations
	r.Table = relationTable(relations, x, y)
	if rows {
		if r.Units, err = units.unitTable(x, y); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("%s, %s test images", units.describe(), thousands(units.examples))
	switch {
	case units.ablated == units.examples:
		text += ", also for ablation to zero"
	case units.ablated > 0:
		text += fmt.Sprintf(", ablated to zero on the first %s", thousands(units.ablated))
	}
	text += "; " + leftOut(relations.Pooled.LeftOut)
	r.Caption = []string{capital(text) + ".", capital(fmt.Sprintf("all layers pooled: %s.", rho(relations.Pooled)))}
	return nil
}

// leftOut says how many units have no place in a figure.
func leftOut(n int) string {
	if n == 0 {
		return "no unit is left out"
	}
	return thousands(n) + " dead units, which have no class selectivity, are left out"
}

func capital(s string) string {
	if s != "" && s[0] >= 'a' && s[0] <= 'z' {
		return string(s[0]-'a'+'A') + s[1:]
	}
	return s
}

func drawScatter(r *Result, x, y measure) (*figure.Figure, error) {
	xs, err := r.Units.Numbers(x.axis.Name)
	if err != nil {
		return nil, err
	}
	ys, err := r.Units.Numbers(y.axis.Name)
	if err != nil {
		return nil, err
	}
	var clouds []figure.Cloud
	for _, one := range r.Relations.Layers {
		c := figure.Cloud{Name: one.Layer, Line: straight(one)}
		for i, row := range r.Units.Rows {
			if row[1] == one.Layer && !math.IsNaN(xs[i]) && !math.IsNaN(ys[i]) {
				c.X, c.Y = append(c.X, xs[i]), append(c.Y, ys[i])
			}
		}
		clouds = append(clouds, c)
	}
	return figure.Scatter(figure.ScatterOptions{
		Title: r.heading(), Caption: r.Caption, LegendTitle: "layer", X: x.axis, Y: y.axis, Pooled: straight(r.Relations.Pooled),
	}, clouds...)
}

func straight(r stat.Relation) *figure.Straight {
	if r.Line == nil {
		return nil
	}
	return &figure.Straight{Slope: r.Line.Slope, Intercept: r.Line.Intercept}
}

func drawLayers(r *Result, x, y measure) (*figure.Figure, error) {
	estimate := func(one stat.Relation, name string) figure.Estimate {
		e := figure.Estimate{Name: name, Missing: one.Spearman == nil, Lo: math.NaN(), Hi: math.NaN()}
		if !e.Missing {
			e.Value = one.Spearman.Rho
			if one.Interval != nil {
				e.Lo, e.Hi = one.Interval.Lo, one.Interval.Hi
			}
		}
		return e
	}
	var all []figure.Estimate
	for _, one := range r.Relations.Layers {
		all = append(all, estimate(one, one.Layer))
	}
	pooled, what := estimate(r.Relations.Pooled, "all"), "Layer"
	if strings.HasPrefix(all[0].Name, "layer") { // PyTorch's name of a stage: layer1.0 is its first block
		what = "Output of block"
	}
	band := "95 % bootstrap interval over the units of the network"
	if n := r.Relations.Pooled.Networks; n > 1 {
		band = fmt.Sprintf("95 %% bootstrap interval over %d networks and their units", n)
	}
	return figure.Estimates(figure.EstimateOptions{
		Title: r.heading(), Caption: r.Caption, X: what,
		Y:      result.Axis{Name: fmt.Sprintf("Spearman's ρ of %s and %s", x.short, y.short)},
		Pooled: &pooled, Band: band, YMin: -1, YMax: 1,
	}, all...)
}

// smallRho is up to where a correlation counts as small. The paper gives no number; its own are 0.095 and −0.428.
const smallRho = 0.3

// weakPredictor is the acceptance test of Figures 7 and A4 (section 8), pooled: ρ is small in magnitude or negative.
func weakPredictor(r stat.Relations, x, y measure) result.Claim {
	p := r.Pooled
	return result.Claim{
		Name:   "The " + x.axis.Name + " of a unit is a poor predictor of its impact",
		Test:   fmt.Sprintf("pooled over layers, Spearman's ρ of %s and %s ≤ %g: small, or negative", x.axis.Name, y.axis.Name, smallRho),
		Found:  rho(p) + fmt.Sprintf(", %s left out; by layer %s", thousands(p.LeftOut), perLayer(r)),
		Passed: p.Spearman != nil && p.Spearman.Rho <= smallRho,
	}
}

// noRho is up to where a correlation counts as none.
const noRho = 0.2

// earlyNotLate is the acceptance test of Figures 7 and A4 (section 8), by layer: negative early, about 0 late. Early and late
// are the first and the last third of the layers.
func earlyNotLate(r stat.Relations, x, y measure) result.Claim {
	early, late := thirds(r.Layers)
	before, n := meanRho(early)
	after, m := meanRho(late)
	return result.Claim{
		Name: "Early layers: the higher the " + x.axis.Name + ", the smaller the impact; late layers: no relation",
		Test: fmt.Sprintf("mean ρ of the first third of the layers < 0, and of the last third between −%g and %g", noRho, noRho),
		Found: fmt.Sprintf("%.3f (%d layers, %s to %s) and %.3f (%d layers, %s to %s); by layer %s; pooled %s, %s left out", before, n, early[0].Layer,
			early[len(early)-1].Layer, after, m, late[0].Layer, late[len(late)-1].Layer, perLayer(r), rho(r.Pooled),
			thousands(r.Pooled.LeftOut)),
		Passed: n > 0 && m > 0 && before < 0 && math.Abs(after) <= noRho,
	}
}
