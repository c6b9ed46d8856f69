package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/corrupt"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// Train returns the network that spec describes: from the store, or trained now. An interrupted training goes on where it
// stopped. name, if not empty, becomes the run's name.
func (l *Lab) Train(ctx context.Context, spec Spec, name string) (*Run, error) {
	spec = spec.WithDefaults()
	of, err := l.Source(ctx, spec.Data)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	key, err := spec.key(of)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	if err := l.checkName(name, key); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	unlock, err := l.store.Lock(ctx, key, func(holder string) { l.Note("waiting for %s, which trains the same network", holder) })
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	defer unlock()
	r, err := l.loadRun(key)
	if err == nil {
		if name != "" && r.Name != name {
			r.Name = name
			err = l.saveRun(r, nil)
		}
		return r, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("train: %w", err)
	}
	return l.train(ctx, spec, key, name)
}

func (l *Lab) train(ctx context.Context, spec Spec, key, name string) (*Run, error) {
	set, err := l.Data(ctx, spec.Data)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	train, labels, err := trainingSplit(set, spec)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	net, err := spec.network(set.Train.Shape, len(set.Classes))
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	b, err := l.Backend()
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	if err := os.MkdirAll(l.store.RunDir(key), 0o755); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	title := fmt.Sprintf("training %s on %s", spec.Net, spec.Data)
	if spec.Corrupt.Fraction > 0 {
		title += fmt.Sprintf(", %g %% labels corrupted", 100*spec.Corrupt.Fraction)
	}
	var meter Meter // starts after the note that says where a training goes on
	defer func() {
		if meter != nil {
			meter.Done()
		}
	}()
	res, err := fit.Train(ctx, b, net, train, set.Test, spec.Fit, fit.Options{
		Dir: l.store.RunDir(key), Key: key, SaveEvery: l.opt.SaveEvery,
		Advance: func(epochs int) {
			if meter == nil {
				meter = l.opt.Progress.Start(title, spec.Fit.Epochs, "epochs")
			}
			meter.Advance(epochs)
		},
		Note: func(text string) { l.Note("%s: %s", title, text) },
		OnEpoch: func(e fit.Epoch) error {
			text := fmt.Sprintf("loss %.4f, accuracy %.4f", e.Loss, e.Accuracy)
			if e.AUC != nil {
				text += fmt.Sprintf(", AUC %.4f", *e.AUC)
			}
			meter.Note(text)
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	final := res.Final()
	r := &Run{
		Key: key, Name: name, Spec: spec, Data: set.Hash, Backend: b.Kind, Versions: result.Versions(), Machine: result.Machine(),
		Seconds: res.Seconds, Final: &final, Best: res.Best, History: res.History, Arrays: res.Weights,
	}
	return r, l.saveRun(r, labels)
}

func (l *Lab) checkName(name, key string) error {
	if name == "" {
		return nil
	}
	runs, _ := l.Runs()
	for _, r := range runs {
		if r.Name == name && r.Key != key {
			return fmt.Errorf("name %q is that of run %s, which differs from this one; choose another name or remove that run with `directions runs rm %s`", name, r.Key[:8], name)
		}
	}
	return nil
}

// trainingSplit is what a network with this spec is trained on: the first examples, with corrupted labels.
func trainingSplit(set *datasets.Set, spec Spec) (datasets.Split, *corrupt.Manifest, error) {
	train := set.Train
	if spec.Examples > 0 {
		var err error
		if train, err = train.Head(spec.Examples); err != nil {
			return train, nil, err
		}
	}
	labels, m, err := corrupt.Labels(train.Labels, len(set.Classes), spec.Corrupt)
	if err != nil {
		return train, nil, err
	}
	train.Labels = labels
	return train, &m, nil
}

// Labels returns the manifest of the corruption that spec asks for, without training anything.
func (l *Lab) Labels(ctx context.Context, spec Spec) (corrupt.Manifest, error) {
	spec = spec.WithDefaults()
	set, err := l.Data(ctx, spec.Data)
	if err != nil {
		return corrupt.Manifest{}, err
	}
	_, m, err := trainingSplit(set, spec)
	if err != nil {
		return corrupt.Manifest{}, err
	}
	return *m, nil
}
