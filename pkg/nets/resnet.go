package nets

import (
	"fmt"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/seed-ea9a9d67/directions/pkg/tap"
)

// ResNet is a residual network (He et al. 2016) in one of two layouts, with the parameter names that PyTorch users know:
//
//	CIFAR     stem 3×3; identity shortcuts that skip every second position and pad channels with zeros ("option A");
//	          as github.com/akamaster/pytorch_resnet_cifar10 has it
//	ImageNet  stem 7×7 with stride 2 and max-pooling; projections as shortcuts; as torchvision has it, so the stride of a
//	          bottleneck block is in its 3×3 convolution
type ResNet struct {
	Blocks     []int // in each stage; from the second stage on, the first block halves height and width
	Channels   int   // of the first stage, even; each stage has twice those of the one before
	ImageNet   bool
	Bottleneck bool // blocks of 1×1, 3×3 and 1×1 convolutions, with 4 times the channels at their output
	Classes    int
}

// resNets are the networks that Parse knows. Classes is left open.
var resNets = map[string]ResNet{
	"resnet8":  {Blocks: []int{1, 1, 1}, Channels: 16},
	"resnet20": {Blocks: []int{3, 3, 3}, Channels: 16},
	"resnet32": {Blocks: []int{5, 5, 5}, Channels: 16},
	"resnet44": {Blocks: []int{7, 7, 7}, Channels: 16},
	"resnet56": {Blocks: []int{9, 9, 9}, Channels: 16},
	"resnet18": {Blocks: []int{2, 2, 2, 2}, Channels: 64, ImageNet: true},
	"resnet34": {Blocks: []int{3, 4, 6, 3}, Channels: 64, ImageNet: true},
	"resnet50": {Blocks: []int{3, 4, 6, 3}, Channels: 64, ImageNet: true, Bottleneck: true},
}

// Graph maps images [batch, height, width, channels] to logits [batch, classes]. Sites, each
// [batch, height, width, channels] and after a ReLU, carry the names of PyTorch's modules: conv1, the stem; layer1.0.conv1
// (and layer1.0.conv2 in a bottleneck), inside a block; layer1.0, the output of a block, after its addition.
func (r ResNet) Graph(scope *model.Scope, images *graph.Node) *graph.Node {
	kernel, stride, head := 3, 1, "linear"
	if r.ImageNet {
		kernel, stride, head = 7, 2, "fc"
	}
	x := conv(scope.In("conv1"), images, r.Channels, kernel, stride)
	x = tap.Point(relu(batchNorm(scope.In("bn1"), x)), "conv1")
	if r.ImageNet {
		x = graph.MaxPool(x).Window(3).Strides(2).PaddingPerDim([][2]int{{1, 1}, {1, 1}}).Done()
	}
	for i, blocks := range r.Blocks {
		layer := scope.In("layer%d", i+1)
		for j := range blocks {
			stride := 1
			if i > 0 && j == 0 {
				stride = 2
			}
			x = r.block(layer.In("%d", j), fmt.Sprintf("layer%d.%d", i+1, j), x, r.Channels<<i, stride)
		}
	}
	return dense(scope.In("%s", head), graph.ReduceMean(x, 1, 2), r.Classes)
}

// outputs names the sites at the outputs of the blocks.
func (r ResNet) outputs() []string {
	var names []string
	for i, blocks := range r.Blocks {
		for j := range blocks {
			names = append(names, fmt.Sprintf("layer%d.%d", i+1, j))
		}
	}
	return names
}

// block is a residual block: x [batch, height, width, in] to [batch, ⌈height/stride⌉, ⌈width/stride⌉, channels], or 4 times
// the channels with Bottleneck.
func (r ResNet) block(scope *model.Scope, name string, x *graph.Node, channels, stride int) *graph.Node {
	layer := func(x *graph.Node, number, channels, kernel, stride int) *graph.Node {
		return batchNorm(scope.In("bn%d", number), conv(scope.In("conv%d", number), x, channels, kernel, stride))
	}
	y := x
	if r.Bottleneck {
		y = tap.Point(relu(layer(y, 1, channels, 1, 1)), name+".conv1")
		y = tap.Point(relu(layer(y, 2, channels, 3, stride)), name+".conv2")
		channels *= 4
		y = layer(y, 3, channels, 1, 1)
	} else {
		y = tap.Point(relu(layer(y, 1, channels, 3, stride)), name+".conv1")
		y = layer(y, 2, channels, 3, 1)
	}
	if in := x.Shape().Dimensions[3]; stride != 1 || in != channels {
		if r.ImageNet {
			projection := scope.In("downsample")
			x = batchNorm(projection.In("1"), conv(projection.In("0"), x, channels, 1, stride))
		} else {
			x = graph.Slice(x, graph.AxisRange(), graph.AxisRange().Stride(stride), graph.AxisRange().Stride(stride))
			x = padChannels(x, channels)
		}
	}
	return tap.Point(relu(graph.Add(y, x)), name)
}
