package probe

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// The networks of the package nets under edits to zero, to means of elements, and noise, everything compared with the plain path. Batch
// normalization has running statistics that matter.
func TestNetworksEqualThePlainPath(t *testing.T) {
	n, specs := 12, []string{"mlp:32,24", "convnet:width=0.125,layers=6", "convnet:width=0.125,layers=4,nobn", "resnet20"}
	if open(t).Kind == "go" {
		n, specs = 2, specs[:2] // its convolutions are slow
	}
	for _, spec := range specs {
		t.Run(spec, func(t *testing.T) {
			net, err := nets.Parse(spec, []int{32, 32, 3}, 10)
			require.NoError(t, err)
			weights, err := net.Init(open(t).Engine, 3)
			require.NoError(t, err)
			rng := rand.New(rand.NewPCG(1, 2))
			for name, a := range weights {
				if !nets.Trained(name) {
					for i := range a.Data {
						a.Data[i] = 0.5 + rng.Float32()
					}
				}
			}
			p, err := New(open(t), net, weights, images(n, net, 4), Options{Verify: -1})
			require.NoError(t, err)
			defer p.Close()
			sites := p.Sites()
			if net.Default != nil {
				sites, err = unit.Select(sites, net.Default)
				require.NoError(t, err)
			}
			late := sites[max(0, len(sites)-3):]
			var names []string
			var noise []unit.Edit
			for _, s := range late {
				names = append(names, s.Name)
				noise = append(noise, unit.Noise(s.Name, slices.Repeat([]float64{0.5}, s.Units()), 7))
			}
			evaluate := func(sets [][]unit.Edit) {
				scores, receipt, err := p.Evaluate(context.Background(), sets)
				require.NoError(t, err)
				require.Zero(t, receipt.Mismatches)
				equalsPlain(t, p, sets, scores, receipt)
			}
			for _, to := range []unit.Target{unit.Zero, unit.ElementMean} {
				curve := &asked{sites: p.Sites()}
				_, err := ablate.Cumulative(context.Background(), curve, ablate.Spec{Sites: names, Points: 7, To: to}, ablate.Options{})
				require.ErrorIs(t, err, context.Canceled)
				evaluate(curve.sets)
			}
			evaluate([][]unit.Edit{noise, noise[:1], nil})
			each := [][]unit.Edit{nil}
			for _, s := range []unit.Site{sites[0], sites[len(sites)/2], late[0]} {
				for u := 0; u < s.Units(); u += 1 + s.Units()/4 {
					each = append(each, []unit.Edit{unit.Ablate(s.Name, unit.Zero, u)})
				}
			}
			evaluate(each)
		})
	}
}
