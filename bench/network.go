package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/fit"
	"github.com/seed-ea9a9d67/directions/pkg/nets"
	"github.com/seed-ea9a9d67/directions/pkg/probe"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// network is a network and the images that it is measured on; both sides read them, the peers from the work folder.
type network struct {
	net     nets.Net
	weights map[string]nets.Array
	file    string // of the weights
	data    string // name of the images and labels
	split   datasets.Split
}

func (n network) request(kind string, examples int) request {
	return request{
		Kind: kind, Net: n.net.Name, Image: n.net.Image, Classes: n.net.Classes, Weights: n.file, Data: n.data, Examples: examples,
	}
}

func (n network) convolutional() bool { return !strings.HasPrefix(n.net.Name, "mlp") }

// probe opens a probe of the network on its first examples.
func (b *bench) probe(n network, examples int) (*probe.Probe, error) {
	head, err := n.split.Head(examples)
	if err != nil {
		return nil, err
	}
	return probe.New(b.backend, n.net, n.weights, head, probe.Options{})
}

// correct counts the right predictions of the network on its first examples under sets of edits. Not measured.
func (b *bench) correct(n network, examples int, sets [][]unit.Edit) ([]int, error) {
	p, err := b.probe(n, examples)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	scores, _, err := p.Evaluate(b.ctx, sets)
	if err != nil {
		return nil, err
	}
	return corrects(scores), nil
}

func corrects(scores []unit.Score) []int {
	var counts []int
	for _, s := range scores {
		counts = append(counts, s.Correct)
	}
	return counts
}

// trained is a network trained briefly on the first examples of a data set's training images, with fixed seeds, and kept in
// the work folder. It is measured on those images, or on the test images.
func (b *bench) trained(spec string, set *datasets.Set, part string, examples, epochs int) (network, error) {
	images, err := set.Train.Head(examples)
	if err != nil {
		return network{}, err
	}
	return b.cached(spec, set, part, func(net nets.Net) (string, func() (map[string]nets.Array, error)) {
		how := fit.Spec{Epochs: epochs, Evaluate: epochs, InitSeed: initSeed, OrderSeed: 1}
		return fmt.Sprintf("%d epochs on %d images of %s", epochs, examples, set.Name), func() (map[string]nets.Array, error) {
			r, err := fit.Train(b.ctx, b.backend, net, images, set.Test, how, fit.Options{})
			return r.Weights, err
		}
	})
}

// initial is a network as training would begin with it.
func (b *bench) initial(spec string, set *datasets.Set, part string) (network, error) {
	return b.cached(spec, set, part, func(net nets.Net) (string, func() (map[string]nets.Array, error)) {
		return "initial weights", func() (map[string]nets.Array, error) { return net.Init(b.backend.Engine, initSeed) }
	})
}

// loaded is a network whose weights are in a file.
func (b *bench) loaded(spec, path string, set *datasets.Set, part string) (network, error) {
	return b.cached(spec, set, part, func(net nets.Net) (string, func() (map[string]nets.Array, error)) {
		return "read from " + path, func() (map[string]nets.Array, error) {
			weights, _, err := nets.LoadSafetensors(path)
			if err == nil {
				err = net.Check(b.backend.Engine, weights)
			}
			return weights, err
		}
	})
}

// cached makes a network whose weights are in the work folder if they were made in the same way before.
func (b *bench) cached(
	spec string, set *datasets.Set, part string, how func(nets.Net) (string, func() (map[string]nets.Array, error)),
) (network, error) {
	split := set.Test
	if part == "train" {
		split = set.Train
	}
	net, err := nets.Parse(spec, split.Shape, len(set.Classes))
	if err != nil {
		return network{}, err
	}
	n := network{net: net, data: set.Name + "-" + part, split: split}
	if err := b.writeData(n.data, split); err != nil {
		return network{}, err
	}
	origin, make := how(net)
	n.file = strings.NewReplacer(":", "-", ",", "-", " ", "-", "=", "").Replace(spec+" "+strings.ReplaceAll(origin, string(filepath.Separator), "-")) + ".safetensors"
	path := filepath.Join(b.work, n.file)
	if n.weights, _, err = nets.LoadSafetensors(path); err == nil {
		return n, net.Check(b.backend.Engine, n.weights)
	}
	log.Printf("%s: %s", spec, origin)
	if n.weights, err = make(); err != nil {
		return network{}, err
	}
	return n, result.WriteFile(path, func(w io.Writer) error {
		return nets.WriteSafetensors(w, n.weights, map[string]string{"net": spec, "made by": origin})
	})
}

// writeData puts images (uint8 [examples, height, width, planes]) and labels (int32) into the work folder, unless they are
// there.
func (b *bench) writeData(name string, s datasets.Split) error {
	path := filepath.Join(b.work, name+"-images.npy")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	labels := filepath.Join(b.work, name+"-labels.npy")
	if err := writeNumpy(labels, "<i4", []int{s.Len()}, s.Labels); err != nil {
		return err
	}
	return writeNumpy(path, "|u1", slices.Concat([]int{s.Len()}, s.Shape), s.Images)
}

// writeNumpy writes an array in NumPy's format, version 1.0.
func writeNumpy(path, dtype string, shape []int, data any) error {
	text, err := json.Marshal(shape)
	if err != nil {
		return err
	}
	tuple := strings.NewReplacer("[", "(", "]", ",)").Replace(string(text))
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s}", dtype, tuple)
	header += strings.Repeat(" ", 63-(10+len(header))%64) + "\n" // 10 bytes before it, 64 in all
	if len(header) > math.MaxUint16 {
		return fmt.Errorf("%s: the header is too long", path)
	}
	return result.WriteFile(path, func(w io.Writer) error {
		var b bytes.Buffer
		b.WriteString("\x93NUMPY\x01\x00")
		b.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(header))))
		b.WriteString(header)
		if _, err := w.Write(b.Bytes()); err != nil {
			return err
		}
		return binary.Write(w, binary.LittleEndian, data)
	})
}
