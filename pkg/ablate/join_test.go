package ablate_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
)

func TestJoin(t *testing.T) {
	// Of small(): unit 1 of site a costs 20 of the 31 right examples of class 0, 2 nats of 50 examples; unit 0 of site b
	// costs 5 of the 14 of class 1.
	r, err := ablate.Single(context.Background(), small(), ablate.SingleSpec{}, ablate.SingleOptions{})
	require.NoError(t, err)
	table := result.Table{
		Title:   "Units",
		Columns: []result.Axis{{Name: "unit"}, {Name: "dead"}, {Name: "site"}},
		Rows:    [][]any{{0, false, "b"}, {1, true, "a"}},
	}
	got, err := r.Join(table)
	require.NoError(t, err)
	require.Equal(t, "Units", got.Title)
	require.Equal(t, []result.Axis{{Name: "unit"}, {Name: "dead"}, {Name: "site"}, {Name: "delta_loss"}, {Name: "delta_accuracy"},
		{Name: "worst_class"}, {Name: "worst_class_drop"}}, got.Columns)
	require.Equal(t, []any{0, false, "b"}, got.Rows[0][:3])
	require.InDelta(t, 0.5/50, got.Rows[0][3], 1e-12)
	require.Equal(t, []any{-0.1, 1, 5.0 / 14}, got.Rows[0][4:])
	require.InDelta(t, 2.0/50, got.Rows[1][3], 1e-12)
	require.Equal(t, []any{-0.4, 0, 20.0 / 31}, got.Rows[1][4:])
	require.Len(t, table.Columns, 3)
	require.Len(t, table.Rows[0], 3)

	r.Impacts[1].WorstClass = -1
	r.Bound = sample.Bound{Within: 0.1}
	r.Impacts[1].HalfWidth = 0.05
	got, err = r.Join(table)
	require.NoError(t, err)
	require.Equal(t, "half_width", got.Columns[7].Name)
	require.Nil(t, got.Rows[1][5])
	require.Equal(t, 0.05, got.Rows[1][7])

	table.Rows[0][0] = 3
	_, err = r.Join(table)
	require.ErrorContains(t, err, "no impact of unit 3 of site b")
	table.Columns = table.Columns[:2]
	_, err = r.Join(table)
	require.ErrorContains(t, err, "needs the columns site and unit")
}
