package fit

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/backend"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
)

// EpochTime predicts how long an epoch of training takes, without its evaluation and once the step is compiled: it takes
// a few steps, and throws the network away.
func EpochTime(ctx context.Context, b *backend.Backend, net nets.Net, train datasets.Split, spec Spec) (time.Duration, error) {
	spec = spec.WithDefaults()
	if err := spec.Check(); err != nil {
		return 0, err
	}
	t, err := newTrainer(b, net, train, train, spec, Options{})
	if err != nil {
		return 0, err
	}
	defer t.close()
	order := spec.permutation(0, t.n)
	var perStep time.Duration
	for range 4 { // the first call compiles
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		steps := min(t.steps, t.perEpoch)
		began := time.Now()
		if err := t.call(order[:steps*t.batch]); err != nil {
			return 0, fmt.Errorf("timing a step: %w", err)
		}
		took := time.Since(began)
		perStep = took / time.Duration(steps)
		t.pace(took)
	}
	return perStep * time.Duration(t.perEpoch), nil
}
