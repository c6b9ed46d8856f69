package sample_test

import (
	"context"
	"fmt"

	"github.com/seed-ea9a9d67/directions/pkg/sample"
)

// network stands in for a trained one: of 60000 examples 59400 are right; the first edit changes nothing, the second
// loses 60 and gains 30.
func ExampleSample_Together() {
	ctx := context.Background()
	n := network(1, 60000, 59400, [2]int{0, 0}, [2]int{60, 30})
	s, _, err := sample.New(ctx, n, sample.Bound{Within: 0.005, Confidence: 0.95})
	if err != nil {
		fmt.Println(err)
		return
	}
	trials, look, _, err := s.Together(ctx, n.edits())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("unedited: %.4f\n", s.Scores[0].Accuracy())
	for i, t := range trials {
		change, half := s.Change(look, t)
		fmt.Printf("edit %d, %d of 60000 examples: accuracy %+.4f ± %s at 95 %%\n", i, s.Looks()[look], change, sample.Points(half))
	}
	// Output:
	// unedited: 0.9900
	// edit 0, 1875 of 60000 examples: accuracy +0.0000 ± 0.32 points at 95 %
	// edit 1, 1875 of 60000 examples: accuracy -0.0005 ± 0.38 points at 95 %
}
