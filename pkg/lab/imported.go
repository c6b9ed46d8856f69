package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/onnx"
	"github.com/seed-ea9a9d67/directions/pkg/probe"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// Import makes a run of a file, without storing it: a network trained elsewhere. A safetensors file has PyTorch's names and
// layout, and net says what they are of; an .onnx file has the network itself, and net is what onnx.Options.String gives.
// Its labels are those of the data set. Keep makes it a run like any other.
func (l *Lab) Import(path, net, data, input string) (*Run, error) {
	data = canonical(data)
	of, err := l.Source(context.Background(), data)
	if err != nil {
		return nil, err
	}
	r := &Run{Spec: Spec{Data: data, Net: net, Input: input}, Data: of.Hash, Source: path}
	if strings.HasSuffix(path, ".onnx") != isONNX(net) {
		return nil, fmt.Errorf("net %q does not go with %s: an .onnx file has its own network, onnx", net, path)
	}
	if isONNX(net) {
		r.file, err = onnx.ReadFile(path)
	} else if _, err = r.network(of.Shape, len(of.Classes)); err == nil { // before a large file is read
		r.file, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	dropped, err := r.readWeights(r.file)
	if err != nil {
		return nil, fmt.Errorf("weights %s: %w", path, err)
	}
	if dropped > 0 {
		l.Note("weights %s: %d × num_batches_tracked left out: it counts batches, and nothing depends on it", path, dropped)
	}
	n, err := r.network(of.Shape, len(of.Classes))
	if err != nil {
		return nil, err
	}
	b, err := l.Backend()
	if err != nil {
		return nil, err
	}
	if err := n.Check(b.Engine, r.Arrays); err != nil {
		return nil, fmt.Errorf("weights %s: %w", path, err)
	}
	sum := sha256.Sum256(r.file)
	r.Weights = hex.EncodeToString(sum[:])
	r.Key, err = importKey(r)
	return r, err
}

// readWeights reads the file of the weights, and of an ONNX file the network. dropped counts the batch counters that were
// left out.
func (r *Run) readWeights(data []byte) (dropped int, err error) {
	if isONNX(r.Spec.Net) {
		opt, err := onnx.ParseOptions(r.Spec.Net)
		if err != nil {
			return 0, err
		}
		if r.model, err = onnx.Read(data, opt); err != nil {
			return 0, err
		}
		r.Arrays = r.model.Weights()
		return 0, nil
	}
	if r.Arrays, _, err = nets.ReadSafetensors(bytes.NewReader(data)); err == nil && r.Source != "" {
		dropped = nets.DropCounters(r.Arrays)
	}
	return dropped, err
}

func importKey(r *Run) (string, error) {
	parts := []any{"imported run", r.Weights, r.Data, r.Spec.Net}
	if r.Spec.Input != "" {
		parts = append(parts, r.Spec.Input)
	}
	return result.Key(parts...)
}

// Keep stores a run that Import made, its file byte by byte, and measures its loss and accuracy on both splits, unless the
// store has it already. name, if not empty, becomes its name.
func (l *Lab) Keep(ctx context.Context, r *Run, name string) (*Run, error) {
	fail := func(err error) (*Run, error) { return nil, fmt.Errorf("import of %s: %w", r.Source, err) }
	if r.file == nil {
		return fail(errors.New("the run does not come from Lab.Import"))
	}
	if err := l.checkName(name, r.Key); err != nil {
		return fail(err)
	}
	unlock, err := l.store.Lock(ctx, r.Key, func(holder string) { l.Note("waiting for %s, which imports the same network", holder) })
	if err != nil {
		return fail(err)
	}
	defer unlock()
	kept := *r
	old, err := l.loadRun(r.Key)
	switch {
	case err == nil && (name == "" || name == old.Name):
		return old, nil
	case err == nil: // another name
		kept = *old
		kept.file = r.file
	case !errors.Is(err, fs.ErrNotExist):
		return fail(err)
	default:
		if kept.Final, err = l.measure(ctx, r); err != nil {
			return fail(err)
		}
		b, err := l.Backend()
		if err != nil {
			return fail(err)
		}
		kept.Backend, kept.Versions, kept.Machine = b.Kind, result.Versions(), result.Machine()
	}
	kept.Name = name
	if err := os.MkdirAll(l.store.RunDir(kept.Key), 0o755); err != nil {
		return fail(err)
	}
	return &kept, l.saveRun(&kept, nil)
}

// measure scores a network on all of its data.
func (l *Lab) measure(ctx context.Context, r *Run) (*fit.Measured, error) {
	var scores [2]unit.Score
	for i, split := range []string{"train", "test"} {
		meter := Meter(nil)
		opt := probe.Options{Memory: l.opt.Memory, Verify: l.opt.Verify, Advance: func(n int) {
			if meter != nil {
				meter.Advance(n)
			}
		}}
		p, err := l.probe(ctx, r, On{Split: split}, opt)
		if err != nil {
			return nil, err
		}
		meter = l.opt.Progress.Start(fmt.Sprintf("measuring %s on the %s images", r.Label(), split), p.Examples(), "images")
		s, _, err := p.Evaluate(ctx, [][]unit.Edit{nil})
		meter.Done()
		p.Close()
		if err != nil {
			return nil, err
		}
		scores[i] = s[0]
	}
	train, test := scores[0], scores[1]
	return &fit.Measured{TrainLoss: train.MeanLoss(), TrainAccuracy: train.Accuracy(),
		TestLoss: test.MeanLoss(), TestAccuracy: test.Accuracy()}, nil
}
