package fit

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestDefaults(t *testing.T) {
	require.Equal(t, Spec{Optimizer: "sgd", LR: 0.1, Schedule: "constant", Batch: 128, Epochs: 100, Evaluate: 10}, Spec{}.WithDefaults())
	require.Equal(t, 0.001, Spec{Optimizer: "adam"}.WithDefaults().LR)
	checkpoints := []int{5, 0, 5, 1}
	s := Spec{Checkpoints: checkpoints}.WithDefaults()
	require.Equal(t, []int{0, 1, 5}, s.Checkpoints)
	require.Equal(t, []int{5, 0, 5, 1}, checkpoints, "the caller's slice is left alone")
	require.Equal(t, s, s.WithDefaults())
	require.NoError(t, s.Check())
	require.NoError(t, sgd().WithDefaults().Check())
	require.NoError(t, adam().WithDefaults().Check())
	require.NoError(t, Spec{SelectivityAlpha: -20}.WithDefaults().Check())
}

func TestCheckNamesFieldValueAndChoice(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for says, s := range map[string]Spec{
		`optimizer is "rmsprop"; allowed: sgd, adam`:                          {Optimizer: "rmsprop"},
		`optimizer is "SGD"; allowed: sgd, adam`:                              {Optimizer: "SGD"},
		`lr is -0.1; allowed: a finite number > 0`:                            {LR: -0.1},
		`lr is NaN; allowed: a finite number > 0`:                             {LR: nan},
		`lr is +Inf; allowed: a finite number > 0`:                            {LR: inf},
		`lr is 1e+39; allowed: a finite number > 0`:                           {LR: 1e39},
		`momentum is 1; allowed: 0 ≤ momentum < 1`:                            {Momentum: 1},
		`momentum is -0.5; allowed: 0 ≤ momentum < 1`:                         {Momentum: -0.5},
		`momentum is NaN; allowed: 0 ≤ momentum < 1`:                          {Momentum: nan},
		`momentum is 0.9; allowed: 0 with adam, which has moments of its own`: {Optimizer: "adam", Momentum: 0.9},
		`weight_decay is -1; allowed: a finite number ≥ 0`:                    {WeightDecay: -1},
		`weight_decay is NaN; allowed: a finite number ≥ 0`:                   {WeightDecay: nan},
		`schedule is "step"; allowed: constant, linear, cosine`:               {Schedule: "step"},
		`batch is -1; allowed: at least 1`:                                    {Batch: -1},
		`epochs is -1; allowed: at least 1`:                                   {Epochs: -1},
		`dropout is 1; allowed: 0 ≤ dropout < 1`:                              {Dropout: 1},
		`dropout is -0.1; allowed: 0 ≤ dropout < 1`:                           {Dropout: -0.1},
		`dropout is NaN; allowed: 0 ≤ dropout < 1`:                            {Dropout: nan},
		`stop_at is 1.5; allowed: an accuracy between 0 and 1 (0: never stop`: {StopAt: 1.5},
		`stop_at is NaN; allowed: an accuracy between 0 and 1 (0: never stop`: {StopAt: nan},
		`selectivity_alpha is NaN; allowed: a finite number (< 0 discourag`:   {SelectivityAlpha: nan},
		`selectivity_alpha is -Inf; allowed: a finite number (< 0 discoura`:   {SelectivityAlpha: math.Inf(-1)},
		`evaluate is -2; allowed: at least 1`:                                 {Evaluate: -2},
		`checkpoints is [-1 3]; allowed: epochs between 0 and 100`:            {Checkpoints: []int{3, -1}},
		`checkpoints is [7]; allowed: epochs between 0 and 6`:                 {Epochs: 6, Checkpoints: []int{7}},
		`epochs is 0; allowed: at least 1`:                                    {Optimizer: "sgd", LR: 1, Schedule: "constant", Batch: 1},
	} {
		if s.LR == 0 || s.Epochs != 0 || s.Batch == 0 {
			s = s.WithDefaults()
		}
		require.ErrorContains(t, s.Check(), "training: "+says)
	}
}

// Expected values: testdata/pytorch.py, PyTorch 2.15.0, LinearLR(1 to 0 in 9 steps) and CosineAnnealingLR(T_max=9).
func TestScheduleAgainstPyTorch(t *testing.T) {
	for schedule, want := range map[string][]float64{
		"constant": slices.Repeat([]float64{0.3}, 9),
		"linear":   {0.3, 0.266666666667, 0.233333333333, 0.2, 0.166666666667, 0.133333333333, 0.1, 0.066666666667, 0.033333333333},
		"cosine": {0.3, 0.290953893118, 0.264906666468, 0.225, 0.176047226650, 0.123952773350, 0.075, 0.035093333532,
			0.009046106882},
	} {
		for step, lr := range want {
			require.InDelta(t, lr, Spec{LR: 0.3, Schedule: schedule}.lr(step, 9), 1e-11, "%s, step %d", schedule, step)
		}
	}
}

func TestPermutation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Spec{OrderSeed: rapid.Uint64().Draw(t, "seed")}
		n, epoch := rapid.IntRange(0, 300).Draw(t, "n"), rapid.IntRange(0, 10000).Draw(t, "epoch")
		order := s.permutation(epoch, n)
		require.Equal(t, order, s.permutation(epoch, n))
		if n > 20 { // 1 in 20! that two are equal by chance
			require.NotEqual(t, order, s.permutation(epoch+1, n))
			require.NotEqual(t, order, Spec{OrderSeed: s.OrderSeed + 1}.permutation(epoch, n))
		}
		slices.Sort(order)
		for i, x := range order {
			require.Equal(t, int32(i), x)
		}
	})
	// Every place gets every example equally often: 20,000 epochs of 10 examples, s.d. of a count √(20000·0.1·0.9) = 42.
	var counts [10][10]int
	for epoch := range 20000 {
		for place, x := range (Spec{OrderSeed: 7}).permutation(epoch, 10) {
			counts[place][x]++
		}
	}
	for place := range counts {
		for x, n := range counts[place] {
			require.InDelta(t, 2000, n, 4.5*42, "place %d, example %d", place, x)
		}
	}
}

func ExampleSpec_Check() {
	spec := Spec{Optimizer: "adam", Dropout: 1}.WithDefaults()
	fmt.Println(spec.Check())
	// Output:
	// training: dropout is 1; allowed: 0 ≤ dropout < 1
}
