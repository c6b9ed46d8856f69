package selectivity

import "math"

// information fills in what rests on bins of activity.
func (s *study) information(values []float32, w *scratch, zero int, u *Unit) {
	s.bin(w, values, zero)
	byBin := make([]int, s.spec.Bins)
	for _, b := range w.bins {
		byBin[b]++
	}
	for _, n := range byBin {
		if n > 0 {
			p := float64(n) / float64(len(values))
			u.Entropy -= p * math.Log2(p)
		}
	}
	u.PlugIn = s.mutual(w, s.labels, byBin)
	for c, size := range s.byClass {
		if size == 0 {
			continue
		}
		divergence := 0.0
		for b, n := range byBin {
			if joint := w.counts[b*s.classes+c]; joint > 0 {
				divergence += float64(joint) * math.Log2(float64(joint)*float64(len(values))/(float64(size)*float64(n)))
			}
		}
		u.KL = max(u.KL, divergence/float64(size))
	}
	for _, labels := range s.shuffled {
		u.Null += s.mutual(w, labels, byBin)
	}
	u.Null /= float64(len(s.shuffled))
	u.Information = u.PlugIn - u.Null
}

// bin gives each example the number of its bin. Zeros, if there are any, have the last one; the rest share the others by rank:
// the bin of a run of equal values is ⌊bins · (mean rank − ½) / number⌋, ranks from 1.
func (s *study) bin(w *scratch, values []float32, zero int) {
	bins, rest := s.spec.Bins, len(values)-zero
	if zero > 0 {
		bins--
	}
	before := 0 // of those that are not 0
	runs(w.order, func(from, to int) {
		number := bins
		if values[example(w.order[from])] != 0 {
			number = bins * (2*before + to - from) / (2 * rest)
			before += to - from
		}
		for _, place := range w.order[from:to] {
			w.bins[example(place)] = uint16(number)
		}
	})
}

// mutual is the plug-in mutual information of bins and labels in bits. w.counts is left as the table of both.
func (s *study) mutual(w *scratch, labels []uint16, byBin []int) float64 {
	clear(w.counts)
	for i, b := range w.bins {
		w.counts[int(b)*s.classes+int(labels[i])]++
	}
	n, sum := float64(len(labels)), 0.0
	for b, size := range byBin {
		if size == 0 {
			continue
		}
		for c, joint := range w.counts[b*s.classes : (b+1)*s.classes] {
			if joint > 0 {
				sum += float64(joint) * math.Log2(float64(joint)*n/(float64(size)*float64(s.byClass[c])))
			}
		}
	}
	return max(0, sum/n) // rounding must not make it negative
}
