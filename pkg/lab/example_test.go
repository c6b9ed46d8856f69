package lab_test

import (
	"fmt"
	"os"

	"github.com/seed-ea9a9d67/directions/pkg/corrupt"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/lab"
)

// Equal networks have equal keys, however they are asked for.
func ExampleSpec_Key() {
	brief := lab.Spec{Data: "mnist10k", Net: "mlp:512,512"}
	long := lab.Spec{
		Data: "mnist10k", Examples: 8000, Net: "mlp:512,512",
		Corrupt: corrupt.Spec{Seed: 7}, // of no corruption at all
		Fit:     fit.Spec{Optimizer: "sgd", LR: 0.1, Batch: 128, Epochs: 100},
	}
	a, _ := brief.Key()
	b, _ := long.Key()
	fmt.Println(a == b)

	brief.Corrupt.Fraction = 1.5
	_, err := brief.Key()
	fmt.Println(err)
	// Output:
	// true
	// corruption fraction is 1.5, it must lie between 0 and 1
}

func ExampleWriteHistory() {
	_ = lab.WriteHistory(os.Stdout, []fit.Epoch{
		{Epoch: 1, LR: 0.1, Loss: 0.5, Accuracy: 0.875},
		{Epoch: 2, LR: 0.05, Loss: 0.25, Accuracy: 0.9375, Measured: &fit.Measured{TrainLoss: 0.2, TrainAccuracy: 0.95, TestLoss: 0.3, TestAccuracy: 0.9}},
	})
	// Output:
	// epoch,lr,loss,accuracy,train_loss,train_accuracy,test_loss,test_accuracy
	// 1,0.1,0.5,0.875,,,,
	// 2,0.05,0.25,0.9375,0.2,0.95,0.3,0.9
}
