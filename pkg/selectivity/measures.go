package selectivity

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
)

// Unit is what is measured of one unit. x is its activity on an example, n the number of examples, C that of classes. A
// number that does not exist is NaN, a class −1.
//
// A dead unit, x = 0 on every example, has no class selectivity index, no preferred class and nothing that rests on one;
// its information is 0. A unit with x < 0 on some example (it is not behind a ReLU) has no class selectivity index, CCMAS,
// sparseness nor class entropy, which are for activity ≥ 0; the rest it has. Of a constant unit, x = c > 0, the index and
// the information are 0, ROC AUC is 1/2 and d′ does not exist. Classes without examples are left out everywhere; with
// fewer than two classes left there is no index, CCMAS, d′ and ROC AUC.
type Unit struct {
	Dead bool
	// Selectivity is the class selectivity index, between 0 and 1:
	//
	//	(μmax − μ−max) / (μmax + μ−max + Epsilon)
	//
	// μmax is the largest class mean of x, μ−max the mean of the other classes' means.
	Selectivity float64
	Preferred   int // class of the largest mean; of equal ones the lowest
	// Information is the mutual information of activity and class, in bits: PlugIn − Null. It can be a little below 0, and is
	// left so.
	Information float64
	// PlugIn is I(bin; class) = Σ p(b,c) log2(p(b,c) / p(b)p(c)), between 0 and log2 C. At most Bins bins in all: x = 0 has
	// one for itself if it occurs, the others divide the rest by rank into parts of equal probability. Equal x share the
	// bin of their mean rank, so there can be fewer, and growing maps of x that keep 0 change nothing.
	PlugIn float64
	Null   float64 // mean of the same over permutations of the labels: the bias of PlugIn
	// KL is the Kullback–Leibler selectivity of Amjad et al. 2018, in bits: of all classes c, the largest
	// Σ p(b|c) log2(p(b|c) / p(b)), on the bins of PlugIn, not corrected.
	KL float64
	// CCMAS is the class-conditional mean activity selectivity as Gale et al. 2020 use it: the class selectivity index with
	// the mean of x over all examples of other classes in place of μ−max. Equal to it for classes of equal size.
	CCMAS float64
	// DPrime is (μ_A − μ_B) / √((σ²_A + σ²_B)/2) of the examples of the preferred class, A, and all others, B, with variances
	// divided by their number. It does not exist if both are 0.
	DPrime float64
	// ROCAUC is the probability that x is larger on an example of the preferred class than on one of another class, ties
	// counting half.
	ROCAUC float64
	// Precision is the largest share that one class has in the Top examples of largest x (in all, if there are fewer). Of
	// examples that tie for the last places, each counts for the same part. Top is that class; of equal ones the lowest.
	Precision float64
	Top       int
	// Sparseness is (1 − a)/(1 − 1/n) with a = (Σx/n)² / (Σx²/n) (Treves & Rolls 1991; Vinje & Gallant 2000): 0 if the unit
	// is equally active on all examples, 1 if on a single one.
	Sparseness       float64
	ZeroFraction     float64 // share of the examples with x = 0
	NegativeFraction float64 // share of the examples with x < 0
	Entropy          float64 // of the bins of PlugIn, in bits
	ClassEntropy     float64 // −Σ q_c log2 q_c with q_c = μ_c / Σμ, in bits: log2 C if all classes excite it equally
	Mean, SD         float64 // of x; SD is divided by n
}

// Index returns the class selectivity index of a unit from its class means, and the class of the largest mean (of equal
// ones the lowest):
//
//	(μmax − μ−max) / (μmax + μ−max + epsilon),   μ−max = mean of the other classes' means.
//
// Means that are NaN are of classes without examples, and left out. The index is NaN with fewer than two means left, if one
// is below 0, and for 0/0, a dead unit without epsilon. The class is −1 if all means are 0 or there are none.
func Index(means []float64, epsilon float64) (index float64, preferred int) {
	preferred = -1
	largest := math.Inf(-1)
	for c, m := range means {
		if m > largest {
			largest, preferred = m, c
		}
	}
	others, classes, least, most := 0.0, 0, math.Inf(1), math.Inf(-1)
	for c, m := range means {
		if !math.IsNaN(m) && c != preferred {
			others += m
			classes++
			least, most = min(least, m), max(most, m)
		}
	}
	if largest == 0 && (classes == 0 || least == 0) {
		preferred = -1
	}
	if classes == 0 || least < 0 || largest < 0 {
		return math.NaN(), preferred
	}
	// A mean lies between its summands, also when the sum is rounded: the index of equal means is 0 exactly.
	others = max(least, min(most, others/float64(classes)))
	return contrast(largest, others, epsilon), preferred
}

// contrast is (a − b)/(a + b + ε), NaN for 0/0.
func contrast(a, b, epsilon float64) float64 { return (a - b) / (a + b + epsilon) }

// Of measures one unit: values[i] is its activity on example i, labels[i] the class, from 0 to classes−1. Errors: labels
// that do not pair up with values or are not classes, no examples, values that are not finite, and a bad spec. Sites of
// the spec do not matter here.
func Of(values []float32, labels []int32, classes int, spec Spec) (Unit, error) {
	if len(values) != len(labels) {
		return Unit{}, fmt.Errorf("selectivity: %d values and %d labels; they must pair up", len(values), len(labels))
	}
	s, err := newStudy(labels, classes, spec)
	if err != nil {
		return Unit{}, fmt.Errorf("selectivity: %w", err)
	}
	u, err := s.measure(values, s.newScratch())
	if err != nil {
		return Unit{}, fmt.Errorf("selectivity: %w", err)
	}
	return u, nil
}

// permutationStream separates the permutations of labels from other uses of the same seed.
const permutationStream = 0x6c6162656c73

// study is what all units share.
type study struct {
	spec     Spec
	classes  int
	labels   []uint16   // [example]
	shuffled [][]uint16 // [permutation][example]
	byClass  []int
	present  int // classes that have examples
}

func newStudy(labels []int32, classes int, spec Spec) (*study, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	if len(labels) == 0 {
		return nil, errors.New("no examples")
	}
	if classes < 2 || classes > math.MaxUint16 {
		return nil, fmt.Errorf("%d classes, it must be between 2 and %d", classes, math.MaxUint16)
	}
	s := &study{spec: spec.WithDefaults(), classes: classes, labels: make([]uint16, len(labels)), byClass: make([]int, classes)}
	for i, y := range labels {
		if y < 0 || int(y) >= classes {
			return nil, fmt.Errorf("label %d of example %d is outside 0..%d", y, i, classes-1)
		}
		s.labels[i] = uint16(y)
		s.byClass[y]++
	}
	for _, n := range s.byClass {
		if n > 0 {
			s.present++
		}
	}
	rng := rand.New(rand.NewPCG(s.spec.Seed, permutationStream))
	for range s.spec.Permutations {
		p := slices.Clone(s.labels)
		rng.Shuffle(len(p), func(i, j int) { p[i], p[j] = p[j], p[i] })
		s.shuffled = append(s.shuffled, p)
	}
	return s, nil
}

// title says what the numbers rest on.
func (s *study) title() string {
	text := fmt.Sprintf("Units on %d examples: mutual information in bits, %d bins of equal probability with zero apart, corrected "+
		"by %d permutations; precision of the top %d", len(s.labels), s.spec.Bins, s.spec.Permutations, min(s.spec.Top, len(s.labels)))
	if s.spec.Epsilon > 0 {
		text += "; ε " + strconv.FormatFloat(s.spec.Epsilon, 'g', -1, 64)
	}
	if s.spec.DeadZero {
		text += "; dead units count as 0"
	}
	return text
}

// scratch is the memory that measuring one unit needs, used again for the next.
type scratch struct {
	order  []uint64 // by growing activity: activity in the upper, example in the lower half
	bins   []uint16 // [example]
	counts []int    // [bin, class]
}

func (s *study) newScratch() *scratch {
	return &scratch{
		order: make([]uint64, len(s.labels)), bins: make([]uint16, len(s.labels)), counts: make([]int, s.spec.Bins*s.classes),
	}
}

// measure measures one unit.
func (s *study) measure(values []float32, w *scratch) (Unit, error) {
	nan := math.NaN()
	u := Unit{
		Selectivity: nan, Preferred: -1, CCMAS: nan, DPrime: nan, ROCAUC: nan, Precision: nan, Top: -1, Sparseness: nan,
		ClassEntropy: nan,
	}
	n := float64(len(values))
	sums := make([]float64, s.classes)
	var sum, squares float64
	zero, negative := 0, 0
	for i, v := range values {
		x := float64(v)
		if x-x != 0 { // NaN or infinite
			return Unit{}, fmt.Errorf("activity is %v on example %d; it must be finite", v, i)
		}
		if x == 0 {
			zero++
		} else if x < 0 {
			negative++
		}
		sums[s.labels[i]] += x
		sum += x
		squares += x * x
		w.order[i] = key(v)<<32 | uint64(i)
	}
	slices.Sort(w.order)
	u.Dead = zero == len(values)
	u.ZeroFraction, u.NegativeFraction = float64(zero)/n, float64(negative)/n
	u.Mean, u.SD = sum/n, math.Sqrt(spread(values, sum/n, func(int) bool { return true })/n)
	s.information(values, w, zero, &u)

	means := make([]float64, s.classes)
	for c := range means {
		means[c] = sums[c] / float64(s.byClass[c]) // 0/0 is NaN: no example, no mean
	}
	u.Selectivity, u.Preferred = Index(means, s.spec.Epsilon)
	if negative > 0 {
		u.Selectivity = nan
	}
	if u.Dead {
		u.Preferred = -1
		if s.spec.DeadZero {
			u.Selectivity = 0
		}
		return u, nil
	}
	s.precision(values, w.order, &u)
	if negative == 0 {
		if len(values) > 1 {
			u.Sparseness = max(0, 1-sum*sum/(n*squares)) / (1 - 1/n) // below 0 by rounding only
		}
		u.ClassEntropy = classEntropy(means)
	}
	if s.present < 2 || u.Preferred < 0 {
		return u, nil
	}
	a := uint16(u.Preferred)
	inside, outside := float64(s.byClass[a]), n-float64(s.byClass[a])
	other := 0.0
	for c, x := range sums {
		if c != u.Preferred {
			other += x
		}
	}
	mean, otherMean := means[a], other/outside
	if negative == 0 {
		u.CCMAS = contrast(mean, otherMean, s.spec.Epsilon)
	}
	variances := spread(values, mean, func(i int) bool { return s.labels[i] == a })/inside +
		spread(values, otherMean, func(i int) bool { return s.labels[i] != a })/outside
	if variances > 0 {
		u.DPrime = (mean - otherMean) / math.Sqrt(variances/2)
	}
	u.ROCAUC = s.rocAUC(values, w.order, a)
	return u, nil
}

// spread is Σ (x − about)² over the examples that count.
func spread(values []float32, about float64, counts func(i int) bool) (sum float64) {
	for i, v := range values {
		if counts(i) {
			d := float64(v) - about
			sum += d * d
		}
	}
	return sum
}

// classEntropy is the entropy of class means ≥ 0 as shares of their sum, in bits. It is NaN if the sum is 0.
func classEntropy(means []float64) float64 {
	sum, h := 0.0, 0.0
	for _, m := range means {
		if !math.IsNaN(m) {
			sum += m
		}
	}
	for _, m := range means {
		if m > 0 {
			h += m / sum * math.Log2(sum/m)
		} else if sum == 0 {
			return math.NaN()
		}
	}
	return h
}

// key orders floats as unsigned integers; −0 and 0 have one key.
func key(v float32) uint64 {
	if v == 0 {
		v = 0
	}
	bits := math.Float32bits(v)
	if bits>>31 != 0 {
		return uint64(^bits)
	}
	return uint64(bits | 1<<31)
}

// runs calls each for every run of equal activity, from the smallest: positions from..to−1 of order.
func runs(order []uint64, each func(from, to int)) {
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && order[to]>>32 == order[from]>>32 {
			to++
		}
		each(from, to)
		from = to
	}
}

// example is the index of the example at a place of the order.
func example(place uint64) int { return int(uint32(place)) }

// rocAUC is that of class a against the others, which both have examples. Counts are integers: no rounding before the end.
func (s *study) rocAUC(values []float32, order []uint64, a uint16) float64 {
	below, twice := 0, 0 // examples of other classes so far; twice the pairs won
	runs(order, func(from, to int) {
		own := 0
		for _, place := range order[from:to] {
			if s.labels[example(place)] == a {
				own++
			}
		}
		others := to - from - own
		twice += own * (2*below + others)
		below += others
	})
	return float64(twice) / 2 / (float64(len(values)-below) * float64(below))
}

// precision fills in Precision and Top.
func (s *study) precision(values []float32, order []uint64, u *Unit) {
	n := min(s.spec.Top, len(values))
	threshold := order[len(order)-n] >> 32
	above, tied := make([]int, s.classes), make([]int, s.classes)
	places, ties := n, 0 // places left for those at the threshold, and how many those are
	for i := len(order) - 1; i >= 0 && order[i]>>32 >= threshold; i-- {
		c := s.labels[example(order[i])]
		if order[i]>>32 > threshold {
			above[c]++
			places--
		} else {
			tied[c]++
			ties++
		}
	}
	best := -1
	for c := range above {
		if share := above[c]*ties + places*tied[c]; share > best { // of n · ties
			best, u.Top = share, c
		}
	}
	u.Precision = float64(best) / float64(n*ties)
}
