package ablate_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

func unitRows(rows ...[]any) result.Table {
	return result.Table{Title: "units", Columns: []result.Axis{{Name: "site"}, {Name: "unit"}, {Name: "selectivity"}}, Rows: rows}
}

// Units that cost 1, 4, 5, 10 and 20 of 45 examples, the cheapest first and the dearest first.
func TestRankedByImpact(t *testing.T) {
	single, err := ablate.Single(context.Background(), small(), ablate.SingleSpec{}, ablate.SingleOptions{})
	require.NoError(t, err)
	table, err := single.Join(unitRows([]any{"a", 0, nil}, []any{"a", 1, nil}, []any{"b", 0, nil}, []any{"b", 1, nil}, []any{"b", 2, nil}))
	require.NoError(t, err)
	for descending, want := range map[bool][]int{false: {45, 44, 40, 35, 25, 5}, true: {45, 25, 15, 10, 6, 5}} {
		order, err := ablate.Ranked(table, "delta_loss", descending)
		require.NoError(t, err)
		r, err := ablate.Cumulative(context.Background(), small(), ablate.Spec{Given: order, Points: 6}, ablate.Options{})
		require.NoError(t, err)
		require.Equal(t, [][]int{want}, r.Correct)
	}
}

func TestRanked(t *testing.T) {
	table := unitRows([]any{"a", 0, 0.5}, []any{"a", 1, nil}, []any{"a", 2, 0.1}, []any{"b", 0, 0.5}, []any{"b", 1, 0.9})
	up, err := ablate.Ranked(table, "selectivity", false)
	require.NoError(t, err)
	require.Equal(t, &ablate.Orderings{Sites: []string{"a", "b"}, Orders: [][]int{{2, 0, 3, 4, 1}}}, up, "of equal ones the first; without a value last")
	down, err := ablate.Ranked(table, "selectivity", true)
	require.NoError(t, err)
	require.Equal(t, [][]int{{4, 0, 3, 2, 1}}, down.Orders)

	for want, bad := range map[string]result.Table{
		"row 1 of table \"units\" is unit 2 of site a": unitRows([]any{"a", 0, 1.0}, []any{"a", 2, 1.0}),
		"is unit 1 of site a":                          unitRows([]any{"a", 0, 1.0}, []any{"b", 0, 1.0}, []any{"a", 1, 1.0}),
		"is unit 0 of site a":                          unitRows([]any{"a", 0, 1.0}, []any{"b", 0, 1.0}, []any{"a", 0, 1.0}),
		"no column site":                               {Title: "t", Columns: []result.Axis{{Name: "unit"}, {Name: "selectivity"}}},
		`no column "unit"`:                             {Title: "t", Columns: []result.Axis{{Name: "site"}, {Name: "selectivity"}}},
		`no column "selectivity"`:                      {Title: "t", Columns: []result.Axis{{Name: "site"}, {Name: "unit"}}},
	} {
		_, err := ablate.Ranked(bad, "selectivity", false)
		require.ErrorContains(t, err, want)
	}
}
