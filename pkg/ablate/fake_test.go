package ablate_test

import (
	"context"
	"math"
	"slices"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// additive is a network without a network: of the examples of class i, whose number is right[i], unit u of site i
// decides cost[i][u] all by itself. Clamped to zero it costs exactly these, clamped to its mean half of them (rounded
// down), clamped to itself none. A cost below 0 is a gain, of examples that are wrong otherwise. Losses are a tenth of a
// nat per example lost.
type additive struct {
	names    []string
	cost     [][]int
	right    []int
	examples int

	calls   int               // of Evaluate and EvaluateOn
	sets    [][]unit.Edit     // all it was asked
	seen    [][]int           // the examples that EvaluateOn was asked for
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

// called is what any call begins with.
func (n *additive) called(ctx context.Context, sets [][]unit.Edit) error {
	n.calls++
	if n.prepare != nil {
		if err := n.prepare(n.calls); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	n.sets = append(n.sets, sets...)
	return unit.Check(n.Sites(), sets)
}

func (n *additive) Evaluate(ctx context.Context, sets [][]unit.Edit) ([]unit.Score, unit.Receipt, error) {
	if err := n.called(ctx, sets); err != nil {
		return nil, unit.Receipt{}, err
	}
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
					case unit.KindMean, unit.KindElementMean:
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

func (n *additive) Examples() int { return n.examples }

// EvaluateOn is Evaluate, example by example. Examples of class 0 come first: those that unit 0 decides, unit 1, …, then
// the right ones that none does; class 1 follows, and so on. At the end are those that are wrong: what units gain, the rest.
func (n *additive) EvaluateOn(ctx context.Context, examples []int, sets [][]unit.Edit) (
	[]unit.Score, [][]bool, unit.Receipt, error,
) {
	if err := n.called(ctx, sets); err != nil {
		return nil, nil, unit.Receipt{}, err
	}
	type decision struct {
		class, unit int // unit −1: none decides
		right       bool
	}
	var decisions []decision
	for c, costs := range n.cost {
		for u, cost := range costs {
			for range cost {
				decisions = append(decisions, decision{c, u, true})
			}
		}
		for total := len(decisions); total < sum(n.right[:c+1]); total++ {
			decisions = append(decisions, decision{c, -1, true})
		}
	}
	for c, costs := range n.cost {
		for u, cost := range costs {
			for range -cost {
				decisions = append(decisions, decision{c, u, false})
			}
		}
	}
	for len(decisions) < n.examples {
		decisions = append(decisions, decision{0, -1, false})
	}
	n.seen = append(n.seen, examples)
	receipt := unit.Receipt{Plan: "sum", Backend: "none", Sets: len(sets), Examples: len(examples)}
	var scores []unit.Score
	var right [][]bool
	for _, set := range sets {
		score := unit.Score{Examples: len(examples), ByClass: make([]int, len(n.right))}
		var is []bool
		lost := 0
		for _, k := range examples {
			d := decisions[k]
			answer := d.right
			for _, e := range set {
				if e.Site == n.names[d.class] && d.unit >= 0 && (e.Units == nil || slices.Contains(e.Units, d.unit)) {
					answer = !d.right
				}
			}
			switch {
			case d.right && !answer:
				lost++
			case answer && !d.right:
				lost--
			}
			if answer {
				score.Correct++
				score.ByClass[d.class]++
			}
			is = append(is, answer)
		}
		score.Loss = float64(lost) / 10
		scores, right = append(scores, score), append(right, is)
		receipt.Edits += len(set)
	}
	if n.broken != nil {
		scores = n.broken(scores)
	}
	return scores, right, receipt, nil
}

func sum(x []int) (s int) {
	for _, v := range x {
		s += v
	}
	return s
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
