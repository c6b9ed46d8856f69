package sample

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Evaluator scores one network under sets of edits on some of its examples, each given once by its index. Beside the
// scores it says which of the examples each set classifies as labelled: right[i][k] is of set i and examples[k].
type Evaluator interface {
	Examples() int // all there are
	EvaluateOn(ctx context.Context, examples []int, sets [][]unit.Edit) (
		scores []unit.Score, right [][]bool, receipt unit.Receipt, err error)
}

// Evaluator is e as the evaluator of an analysis with this bound; without a bound, nil, as none is needed. A bad bound is
// an error, and so is an e that cannot score some of its examples only.
func (b Bound) Evaluator(e any) (Evaluator, error) {
	if b == (Bound{}) {
		return nil, nil
	}
	if err := b.Check(); err != nil {
		return nil, err
	}
	sampler, ok := e.(Evaluator)
	if !ok {
		return nil, errors.New("the evaluator cannot score some of its examples only; leave the bound out")
	}
	return sampler, nil
}

// Sample is one network's examples in the order in which they are drawn, with what is known on all of them.
type Sample struct {
	Scores  []unit.Score // on all examples: of the unedited network, and of the sets that were to be known exactly
	Seconds float64      // spent in the evaluator so far

	evaluator Evaluator
	design
	within    float64
	order     []int
	answers   [][]bool // by set of Scores and example: classified as labelled
	usedRight []int    // by look: right without edits, of the examples seen
}

// Trial is what is known of a set of edits: its score on the examples seen, and in how many of them it differs from the
// unedited network.
type Trial struct {
	Score  unit.Score
	Lost   int // wrong, and right without the edits
	Gained int // right, and wrong without the edits
}

// New scores the unedited network on all examples, and with it the sets that are to be known exactly.
func New(ctx context.Context, e Evaluator, b Bound, exact ...[]unit.Edit) (*Sample, unit.Receipt, error) {
	if err := b.Check(); err != nil {
		return nil, unit.Receipt{}, err
	}
	all := make([]int, e.Examples())
	for i := range all {
		all[i] = i
	}
	s := &Sample{evaluator: e, within: b.Within, order: Order(len(all), b.Seed)}
	scores, right, receipt, err := s.evaluate(ctx, all, append([][]unit.Edit{nil}, exact...))
	if err != nil {
		return nil, unit.Receipt{}, err
	}
	s.Scores, s.answers, s.design = scores, right, b.design(len(all), scores[0].Correct)
	n := 0
	for look := range s.looks {
		for _, example := range s.added(look) {
			if s.answers[0][example] {
				n++
			}
		}
		s.usedRight = append(s.usedRight, n)
	}
	return s, receipt, nil
}

// Session is what the rows of a bounded analysis share: the sample, made when the first row needs it.
type Session struct {
	Evaluator Evaluator
	Bound     Bound
	sample    *Sample
}

// Row is what a session finds out about the sets of one row.
type Row struct {
	Sample  *Sample
	First   bool // of the analysis: nothing was known before of the sets in Sample.Scores
	Trials  []Trial
	Look    int
	Receipt unit.Receipt
	Seconds float64 // spent in the evaluator
}

// Next evaluates the sets of a row together. unedited is the score of the unedited network on all examples, if an earlier
// row or session found it; exact are the sets to be known exactly, which must be the same for all rows. After an error,
// the row has the seconds spent.
func (s *Session) Next(ctx context.Context, unedited unit.Score, sets [][]unit.Edit, exact ...[]unit.Edit) (row Row, err error) {
	row.First = unedited.Examples == 0
	var before float64
	if s.sample == nil {
		opened, receipt, err := New(ctx, s.Evaluator, s.Bound, exact...)
		if err != nil {
			return row, err
		}
		if row.First {
			row.Receipt = receipt
		} else if err := opened.Continues(unedited); err != nil {
			return row, err
		}
		s.sample = opened
	} else {
		before = s.sample.Seconds
	}
	row.Sample = s.sample
	var receipt unit.Receipt
	row.Trials, row.Look, receipt, err = s.sample.Together(ctx, sets)
	row.Seconds, row.Receipt = s.sample.Seconds-before, row.Receipt.Add(receipt)
	return row, err
}

// Continues reports an unedited network that does not score as it did when an interrupted analysis began.
func (s *Sample) Continues(unedited unit.Score) error {
	if now := s.Scores[0]; now.Examples != unedited.Examples || now.Correct != unedited.Correct {
		return fmt.Errorf("the unedited network is right on %d of %d examples, and was on %d of %d when the analysis began",
			now.Correct, now.Examples, unedited.Correct, unedited.Examples)
	}
	return nil
}

// Looks are the numbers of examples seen at each look, ascending; the last is all of them.
func (s *Sample) Looks() []int { return slices.Clone(s.looks) }

// added lists the examples that a look adds to those before it, in their own order: neighbours lie together in memory.
func (s *Sample) added(look int) []int {
	from := 0
	if look > 0 {
		from = s.looks[look-1]
	}
	examples := slices.Clone(s.order[from:s.looks[look]])
	slices.Sort(examples)
	return examples
}

// Extend returns the trials of sets after a look, given those after the look before (nil at look 0).
func (s *Sample) Extend(ctx context.Context, look int, sets [][]unit.Edit, trials []Trial) (
	grown []Trial, receipt unit.Receipt, err error,
) {
	if trials == nil {
		trials = make([]Trial, len(sets))
	}
	examples := s.added(look)
	for group := range slices.Chunk(sets, max(1, mostAnswers/len(examples))) {
		scores, right, r, err := s.evaluate(ctx, examples, group)
		if err != nil {
			return nil, unit.Receipt{}, err
		}
		receipt = receipt.Add(r)
		for i := range group {
			t := trials[len(grown)]
			lost, gained := s.compare(examples, right[i])
			grown = append(grown, Trial{t.Score.Add(scores[i]), t.Lost + lost, t.Gained + gained})
		}
	}
	return grown, receipt, nil
}

// compare counts the examples whose answers, in their order, differ from those of the unedited network.
func (s *Sample) compare(examples []int, right []bool) (lost, gained int) {
	for k, example := range examples {
		switch was := s.answers[0][example]; {
		case was && !right[k]:
			lost++
		case right[k] && !was:
			gained++
		}
	}
	return lost, gained
}

// Known is the trial after a look of one of the sets in Scores, without a score.
func (s *Sample) Known(look, set int) (t Trial) {
	examples := s.order[:s.looks[look]]
	right := make([]bool, len(examples))
	for k, example := range examples {
		right[k] = s.answers[set][example]
	}
	t.Lost, t.Gained = s.compare(examples, right)
	return t
}

// mostAnswers is how many answers, right or wrong, one call may give: what keeps them within 64 MiB.
const mostAnswers = 1 << 26

// Together extends all sets look by look, on the same examples, until all of them are known closely enough.
func (s *Sample) Together(ctx context.Context, sets [][]unit.Edit) (
	trials []Trial, look int, receipt unit.Receipt, err error,
) {
	for ; ; look++ {
		var r unit.Receipt
		if trials, r, err = s.Extend(ctx, look, sets, trials); err != nil {
			return nil, 0, unit.Receipt{}, err
		}
		receipt = receipt.Add(r)
		if !slices.ContainsFunc(trials, func(t Trial) bool { return !s.Close(look, t) }) {
			return trials, look, receipt, nil
		}
	}
}

// Change estimates from a trial how the accuracy on all examples differs from that of the unedited network, with the
// half-width of its interval, both as fractions of all examples.
func (s *Sample) Change(look int, t Trial) (change, half float64) {
	correct, half := s.accuracy(s.looks[look], s.usedRight[look], t.Lost, t.Gained)
	return (correct - float64(s.right)) / float64(s.all), half / float64(s.all)
}

// Close tells whether the change is known closely enough.
func (s *Sample) Close(look int, t Trial) bool {
	_, half := s.Change(look, t)
	return half <= s.within
}

// evaluate asks the evaluator and checks that the answer is one.
func (s *Sample) evaluate(ctx context.Context, examples []int, sets [][]unit.Edit) (
	[]unit.Score, [][]bool, unit.Receipt, error,
) {
	if err := ctx.Err(); err != nil {
		return nil, nil, unit.Receipt{}, err
	}
	started := time.Now()
	scores, right, receipt, err := s.evaluator.EvaluateOn(ctx, examples, sets)
	s.Seconds += time.Since(started).Seconds()
	if err != nil {
		if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
			err = fmt.Errorf("%w (%v)", ended, err)
		}
		return nil, nil, unit.Receipt{}, err
	}
	if len(scores) != len(sets) || len(right) != len(sets) {
		return nil, nil, unit.Receipt{}, fmt.Errorf("the evaluator gave %d scores and %d lists of answers for %d sets of edits",
			len(scores), len(right), len(sets))
	}
	for i, score := range scores {
		n := 0
		for _, is := range right[i] {
			if is {
				n++
			}
		}
		if score.Examples != len(examples) || len(right[i]) != len(examples) || score.Correct != n {
			return nil, nil, unit.Receipt{}, fmt.Errorf("the evaluator was asked for %d examples; it scored set %d on %d, "+
				"with %d correct, and gave %d answers, of which %d are right",
				len(examples), i, score.Examples, score.Correct, len(right[i]), n)
		}
	}
	return scores, right, receipt, nil
}
