package ablate_test

import (
	"context"
	"math"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// additive is a network without a network: of the examples of class i, whose number is right[i], unit u of site i
// decides cost[i][u] all by itself. Clamped to zero it costs exactly these, clamped to its mean half of them (rounded
// down), clamped to itself none. Losses are a tenth of a nat per example lost.
type additive struct {
	names    []string
	cost     [][]int
	right    []int
	examples int

	calls   int               // of Evaluate
	sets    [][]unit.Edit     // all it was asked
	prepare func(n int) error // called before call n, counting from 1
	broken  func(scores []unit.Score) []unit.Score
}

// small has five units: correct are 45 of 50, and 5 without any unit.
func small() *additive {
	return &additive{
		names: []string{"a", "b"}, cost: [][]int{{10, 20}, {5, 1, 4}}, right: []int{31, 14}, examples: 50,
	}
}

func (n *additive) Sites() []unit.Site {
	var sites []unit.Site
	for i, name := range n.names {
		sites = append(sites, unit.Site{Name: name, Shape: []int{4, 4, len(n.cost[i])}})
	}
	return sites
}

func (n *additive) Evaluate(ctx context.Context, sets [][]unit.Edit) ([]unit.Score, unit.Receipt, error) {
	n.calls++
	if n.prepare != nil {
		if err := n.prepare(n.calls); err != nil {
			return nil, unit.Receipt{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, unit.Receipt{}, err
	}
	if err := unit.Check(n.Sites(), sets); err != nil {
		return nil, unit.Receipt{}, err
	}
	n.sets = append(n.sets, sets...)
	receipt := unit.Receipt{Plan: "sum", Backend: "none", Sets: len(sets), Examples: n.examples}
	scores := make([]unit.Score, len(sets))
	for i, set := range sets {
		score := unit.Score{Examples: n.examples, ByClass: append([]int(nil), n.right...)}
		lost := 0
		for _, e := range set {
			receipt.Edits++
			for c, name := range n.names {
				if name != e.Site {
					continue
				}
				units := e.Units
				if units == nil {
					for u := range n.cost[c] {
						units = append(units, u)
					}
				}
				for _, u := range units {
					cost := n.cost[c][u]
					switch e.To.Kind {
					case unit.KindMean:
						cost /= 2
					case unit.KindItself:
						cost = 0
					}
					score.ByClass[c] -= cost
					lost += cost
					receipt.Changed += int64(cost)
				}
			}
		}
		for _, right := range score.ByClass {
			score.Correct += right
		}
		score.Loss = float64(lost) / 10
		scores[i] = score
	}
	if n.broken != nil {
		scores = n.broken(scores)
	}
	return scores, receipt, nil
}

// inBatches asks its network for at most so many sets at a time.
type inBatches struct {
	*additive
	size int
}

func (b inBatches) Evaluate(ctx context.Context, sets [][]unit.Edit) ([]unit.Score, unit.Receipt, error) {
	var scores []unit.Score
	var receipt unit.Receipt
	for len(sets) > 0 {
		n := min(b.size, len(sets))
		s, r, err := b.additive.Evaluate(ctx, sets[:n])
		if err != nil {
			return nil, unit.Receipt{}, err
		}
		scores, receipt, sets = append(scores, s...), receipt.Add(r), sets[n:]
	}
	return scores, receipt, nil
}

// wide has two sites of 12 and 20 units with uneven costs.
func wide() *additive {
	n := &additive{names: []string{"fc1", "fc2"}, cost: [][]int{make([]int, 12), make([]int, 20)}, examples: 1000}
	for i, costs := range n.cost {
		total := 0
		for u := range costs {
			costs[u] = int(math.Abs(float64(u*u*7%23 - i)))
			total += costs[u]
		}
		n.right = append(n.right, total+i)
	}
	return n
}
