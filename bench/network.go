package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"log"
	"maps"
	"math"
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
		Kind: kind, Net: n.net.Name, Image: n.net.Image, Classes: n.net.Classes, Weights: n.file,
		Data: n.data, Examples: examples, Mean: n.net.Input.Mean, SD: n.net.Input.SD,
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

// source says which network it is, and what it is measured on.
type source struct {
	spec  string // of the network
	input string // how pixels become its input, as nets.ParseInput reads it
	set   *datasets.Set
	part  string // of the set: "train" or "test"
}

// trained is a network trained briefly on the first training images, with fixed seeds, and kept in the work folder.
func (b *bench) trained(s source, examples, epochs int) (network, error) {
	images, err := s.set.Train.Head(examples)
	if err != nil {
		return network{}, err
	}
	test, err := s.set.Test.Head(min(1000, s.set.Test.Len()))
	if err != nil {
		return network{}, err
	}
	origin := fmt.Sprintf("trained %d epochs on %d images of %s", epochs, examples, s.set.Name)
	return b.cached(s, origin, func(net nets.Net) (map[string]nets.Array, error) {
		spec := fit.Spec{Epochs: epochs, Evaluate: epochs, InitSeed: initSeed, OrderSeed: orderSeed}
		r, err := fit.Train(b.ctx, b.backend, net, images, test, spec, fit.Options{})
		return r.Weights, err
	})
}

// The seeds of what is trained here.
const initSeed, orderSeed = 1, 1

// initial is a network as training begins with it.
func (b *bench) initial(s source) (network, error) {
	return b.cached(s, "initial", func(net nets.Net) (map[string]nets.Array, error) {
		return net.Init(b.backend.Engine, initSeed)
	})
}

// loaded is a network whose weights are in a file.
func (b *bench) loaded(s source, path string) (network, error) {
	weights, _, err := nets.LoadSafetensors(path)
	if err != nil {
		return network{}, err
	}
	h := fnv.New32a() // so that another file's weights are another file in the work folder
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		if err := binary.Write(h, binary.LittleEndian, weights[name].Data); err != nil {
			return network{}, err
		}
	}
	origin := fmt.Sprintf("from file %08x", h.Sum32())
	return b.cached(s, origin, func(net nets.Net) (map[string]nets.Array, error) { return weights, nil })
}

// cached makes a network, whose weights are in the work folder if they were made in the same way before.
func (b *bench) cached(
	s source, origin string, weights func(nets.Net) (map[string]nets.Array, error),
) (network, error) {
	split := s.set.Test
	if s.part == "train" {
		split = s.set.Train
	}
	net, err := nets.Parse(s.spec, split.Shape, len(s.set.Classes))
	if err != nil {
		return network{}, err
	}
	if net.Input, err = nets.ParseInput(s.input, split.Shape[2]); err != nil {
		return network{}, err
	}
	n := network{net: net, data: s.set.Name + "-" + s.part, split: split}
	if err := b.writeData(n.data, split); err != nil {
		return network{}, err
	}
	n.file = strings.NewReplacer(":", "-", ",", "-", " ", "-", "=", "").Replace(s.spec+" "+origin) + ".safetensors"
	path := filepath.Join(b.work, n.file)
	n.weights, _, err = nets.LoadSafetensors(path)
	if err == nil {
		return n, net.Check(b.backend.Engine, n.weights)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return network{}, err
	}
	log.Printf("  %s: %s", s.spec, origin)
	if n.weights, err = weights(net); err != nil {
		return network{}, err
	}
	if err := net.Check(b.backend.Engine, n.weights); err != nil {
		return network{}, err
	}
	return n, result.WriteFile(path, func(w io.Writer) error {
		return nets.WriteSafetensors(w, n.weights, map[string]string{"net": s.spec, "origin": origin})
	})
}

// writeData puts images (uint8 [examples, height, width, planes]) and labels (int32) into the work folder, once.
func (b *bench) writeData(name string, s datasets.Split) error {
	if b.written[name] {
		return nil
	}
	b.written[name] = true
	if err := writeNumpy(filepath.Join(b.work, name+"-labels.npy"), "<i4", []int{s.Len()}, s.Labels); err != nil {
		return err
	}
	return writeNumpy(filepath.Join(b.work, name+"-images.npy"), "|u1", slices.Concat([]int{s.Len()}, s.Shape), s.Images)
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
