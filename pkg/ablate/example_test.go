package ablate_test

import (
	"context"
	"fmt"

	"github.com/seed-ea9a9d67/directions/pkg/ablate"
)

// small() stands in for a trained network: five units in two sites, each of which decides some of 50 examples alone.
func ExampleCumulative() {
	r, err := ablate.Cumulative(context.Background(), small(), ablate.Spec{Orders: 4, Points: 3, Seed: 1}, ablate.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, k := range r.Grid {
		fmt.Printf("%d of %d units ablated: accuracy %.3f ± %.3f\n", k, r.Units, r.Mean[i], r.SD[i])
	}
	fmt.Printf("AUC %.4f\n", r.AUC)
	// Output:
	// 0 of 5 units ablated: accuracy 0.900 ± 0.000
	// 3 of 5 units ablated: accuracy 0.525 ± 0.150
	// 5 of 5 units ablated: accuracy 0.100 ± 0.000
	// AUC 0.5525
}

func ExampleSingle() {
	r, err := ablate.Single(context.Background(), small(), ablate.SingleSpec{Sites: []string{"a"}}, ablate.SingleOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("unedited: %.2f\n", r.Baseline.Accuracy())
	for _, i := range r.Impacts {
		fmt.Printf("without %s[%d]: accuracy %+.2f, loss %+.3f nats, class %d loses %.0f %%\n",
			i.Site, i.Unit, i.DeltaAccuracy, i.DeltaLoss, i.WorstClass, 100*i.WorstClassDrop)
	}
	// Output:
	// unedited: 0.90
	// without a[0]: accuracy -0.20, loss +0.020 nats, class 0 loses 32 %
	// without a[1]: accuracy -0.40, loss +0.040 nats, class 0 loses 65 %
}
