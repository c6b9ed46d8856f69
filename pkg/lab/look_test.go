package lab

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/selectivity"
)

func TestLook(t *testing.T) {
	home, r := shared(t)
	l, _ := open(t, home, Options{})
	ctx := context.Background()
	v, err := l.Look(ctx, r, On{Examples: 60}, "fc2", 1)
	require.NoError(t, err)
	require.Equal(t, []string{"net", "test", "fc2"}, []string{v.Network, v.Split, v.Tuning.Site})
	require.Len(t, v.Tuning.Top, topPictures)

	// What Single and Selectivity say of the same unit.
	impacts, err := l.Single(ctx, r, On{Examples: 60, Split: "test"}, ablate.SingleSpec{Sites: []string{"fc2"}})
	require.NoError(t, err)
	require.Equal(t, impacts.Impacts[1].Score, v.Ablated)
	require.Equal(t, impacts.Baseline, v.Unedited)
	worst := impacts.Impacts[1]
	lost, ok := v.damage(worst.WorstClass)
	require.True(t, ok)
	require.Equal(t, worst.WorstClassDrop, lost)
	s, err := l.Selectivity(ctx, r, On{Examples: 60}, selectivity.Spec{Sites: []string{"fc2"}})
	require.NoError(t, err)
	mean, err := s.Table.Numbers("mean")
	require.NoError(t, err)
	sum := 0.0
	for c, a := range v.Tuning.Classes {
		require.Equal(t, s.ByClass[c], a.N)
		sum += float64(a.N) * a.Mean
	}
	require.InDelta(t, mean[1], sum/60, 1e-6)

	// The pictures are those of the data.
	set, err := l.Data(ctx, r.Spec.Data)
	require.NoError(t, err)
	first := v.Tuning.Top[0]
	require.Equal(t, int(set.Test.Labels[first.Example]), first.Label)
	require.Equal(t, set.Test.Images[first.Example*784:(first.Example+1)*784], v.pictures[0])

	require.Len(t, v.Table().Rows, 10)
	f, err := v.Figure()
	require.NoError(t, err)
	require.Contains(t, f.Alt(), "Figure with 3 panels. Panel a: Unit 1 of fc2, net: what excites it most")

	l2, w := open(t, home, Options{})
	again, err := l2.Look(ctx, r, On{Examples: 60, Split: "test"}, "fc2", 1)
	require.NoError(t, err)
	require.Equal(t, v, again, "read again")
	require.Empty(t, w.meters)
	_, err = View{}.Figure()
	require.ErrorContains(t, err, "no pictures")
	_, err = l.Look(ctx, r, On{}, "fc9", 1)
	require.ErrorContains(t, err, `no site "fc9"`)
	_, err = l.Look(ctx, r, On{}, "fc2", 1000)
	require.ErrorContains(t, err, "the site has the units 0 to ")
}
