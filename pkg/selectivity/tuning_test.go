package selectivity_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/selectivity"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// few is a source of one site with two units, whose examples come in two parts. Of three classes the last has no example.
type few struct {
	values []float32 // [5 examples][2 units]
	labels []int32
	err    error
}

func (f few) Sites() []unit.Site { return []unit.Site{{Name: "fc1", Shape: []int{2}}} }
func (f few) Labels() []int32    { return f.labels }
func (f few) Classes() int       { return 3 }
func (f few) Activations(_ context.Context, _ []string, each func(int, [][]float32) error) error {
	if err := each(0, [][]float32{f.values[:4]}); err != nil {
		return err
	}
	if err := each(2, [][]float32{f.values[4:]}); err != nil {
		return err
	}
	return f.err
}

func TestTune(t *testing.T) {
	s := few{values: []float32{0, 1, 0, 4, 0, 3, 0, 4, 0, 0}, labels: []int32{0, 1, 0, 1, 1}}
	ctx := context.Background()
	got, err := selectivity.Tune(ctx, s, "fc1", 1, 3)
	require.NoError(t, err)
	// Class 0: 1 and 3. Class 1: 4, 4 and 0, with mean 8/3 and variance 2·(4/3)²/3 + (8/3)²/3 = 32/9.
	require.Equal(t, selectivity.ClassActivity{N: 2, Mean: 2, SD: 1}, got.Classes[0])
	require.Equal(t, 3, got.Classes[1].N)
	require.InDelta(t, 8./3, got.Classes[1].Mean, 1e-15)
	require.InDelta(t, math.Sqrt(32./9), got.Classes[1].SD, 1e-15)
	require.Equal(t, selectivity.ClassActivity{}, got.Classes[2], "a class without examples")
	require.Equal(t, []selectivity.Seen{{Example: 1, Label: 1, Activity: 4}, {Example: 3, Label: 1, Activity: 4}, {Example: 2, Activity: 3}},
		got.Top, "of equal ones the earlier")
	require.Equal(t, 5, got.Examples)

	dead, err := selectivity.Tune(ctx, s, "fc1", 0, 99)
	require.NoError(t, err)
	require.Len(t, dead.Top, 5, "no more than there are")
	require.Equal(t, selectivity.Seen{}, dead.Top[0])
	require.Zero(t, dead.Classes[1].Mean)

	for want, f := range map[string]func() error{
		`no site "fc9"`:                 func() error { _, err := selectivity.Tune(ctx, s, "fc9", 0, 1); return err },
		"the site has the units 0 to 1": func() error { _, err := selectivity.Tune(ctx, s, "fc1", 2, 1); return err },
		"unit -1 of site":               func() error { _, err := selectivity.Tune(ctx, s, "fc1", -1, 1); return err },
		"top is -1":                     func() error { _, err := selectivity.Tune(ctx, s, "fc1", 0, -1); return err },
		"activity on example 4 is NaN": func() error {
			return tuneOf(few{values: []float32{0, 1, 0, 4, 0, 3, 0, 4, 0, float32(math.NaN())}, labels: s.labels})
		},
		"of 5 examples, it has 6 labels":    func() error { return tuneOf(few{values: s.values, labels: []int32{0, 1, 0, 1, 1, 0}}) },
		"of examples 2 to 4, it has 4":      func() error { return tuneOf(few{values: s.values, labels: []int32{0, 1, 0, 1}}) },
		"label 3 of example 1 is outside 0": func() error { return tuneOf(few{values: s.values, labels: []int32{0, 3, 0, 1, 1}}) },
		"broken":                            func() error { return tuneOf(few{values: s.values, labels: s.labels, err: errors.New("broken")}) },
	} {
		require.ErrorContains(t, f(), want)
	}
}

func tuneOf(s few) error {
	_, err := selectivity.Tune(context.Background(), s, "fc1", 1, 1)
	return err
}
