package main

import (
	"log"
	"os"
	"path/filepath"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/sample"
)

// cifar is CIFAR-10, or nil, with a line that says so, where it is not to be had.
func (b *bench) cifar() *datasets.Set {
	set, err := b.lab.Data(b.ctx, "cifar10")
	if err != nil {
		log.Printf("  left out, without CIFAR-10: %v", err)
		return nil
	}
	return set
}

// resnet20File is where the trained ResNet-20 is looked for, in each folder of data sets.
const resnet20File = "weights/cifar10-resnet20-12fca82f.safetensors"

// resnetImpact is workload 3.
func (b *bench) resnetImpact(report *Report) error {
	path := b.opt.resnet20
	if path == "" {
		for _, dir := range b.lab.DataDirs() {
			if _, err := os.Stat(filepath.Join(dir, resnet20File)); err == nil {
				path = filepath.Join(dir, resnet20File)
				break
			}
		}
		if path == "" {
			log.Printf("  left out: no %s in %v; -resnet20 FILE takes another place", resnet20File, b.lab.DataDirs())
			return nil
		}
	}
	set := b.cifar()
	if set == nil {
		return nil
	}
	n, err := b.loaded(source{spec: "resnet20", input: "imagenet", set: set, part: "test"}, path)
	if err != nil {
		return err
	}
	sites := n.net.Default
	if b.opt.quick {
		sites = []string{"layer1.2", "layer3.1"}
	}
	c := impactWork{
		network: n, examples: b.size(10000, 48), sites: sites, first: 4,
		hooks: part{every: 12, examples: b.size(2000, 48)}, batches: b.few(batchesConv),
		captum:  part{examples: b.size(100, 16)},
		perEval: []Settings{{Batch: 20, PerEval: 1}, {Batch: 20, PerEval: 8}, {Batch: 100, PerEval: 1}},
		bound:   sample.Bound{Within: 0.005, Confidence: 0.95},
	}
	return b.addImpact(report, c, "3", "feature maps at the outputs of its blocks", 4, 4, 20)
}

// convCurve is workload 4.
func (b *bench) convCurve(report *Report) error {
	if b.cifar() == nil {
		return nil
	}
	c, err := b.curve4()
	if err != nil {
		return err
	}
	return b.addCurve(report, c, "4", "the last three layers", 5)
}

func (b *bench) curve4() (curveWork, error) {
	set, err := b.lab.Data(b.ctx, "cifar10")
	if err != nil {
		return curveWork{}, err
	}
	s := source{spec: b.pick("convnet", "convnet:width=0.0625"), input: "half", set: set, part: "train"}
	n, err := b.trained(s, b.size(5000, 256), 2)
	return curveWork{
		network: n, examples: b.size(2000, 64), sites: []string{"conv9", "conv10", "conv11"},
		orders: b.size(10, 2), points: b.size(20, 4),
		part: part{orders: 1, examples: b.size(500, 64)}, batches: b.few(batchesConv),
	}, err
}
