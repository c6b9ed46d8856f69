package nets

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/seed-ea9a9d67/directions/pkg/tap"
)

// The paper's convolutional network for CIFAR-10 (section 3 of the protocol).
var (
	convChannels = []int{64, 64, 128, 128, 128, 256, 256, 256, 512, 512, 512}
	convStrides  = []int{1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1}
)

// ConvNet is a plain convolutional network: 3×3 convolutions, padded by 1, each with batch normalization and ReLU, then
// logits of all that the last one gives.
type ConvNet struct {
	Channels []int // of each layer
	Strides  []int // of each layer
	Plain    bool  // no batch normalization; the convolutions then have a bias
	Hidden   int   // units of a fully connected layer with ReLU before the logits; 0: none
	Classes  int
}

// Graph maps images [batch, height, width, channels] to logits [batch, classes]. Sites: conv1, conv2, …, each
// [batch, height, width, channels], after the ReLU; then, with Hidden, fc1 [batch, Hidden], after the ReLU.
func (c ConvNet) Graph(scope *model.Scope, images *graph.Node) *graph.Node {
	x := images
	for i, channels := range c.Channels {
		name := fmt.Sprintf("conv%d", i+1)
		layer := scope.In("%s", name)
		x = conv(layer, x, channels, 3, c.Strides[i])
		if c.Plain {
			x = graph.Add(x, graph.ExpandLeftToRank(parameter(layer, x, "bias", channels), 4))
		} else {
			x = batchNorm(scope.In("bn%d", i+1), x)
		}
		x = tap.Point(relu(x), name)
	}
	if c.Hidden > 0 {
		x = tap.Point(relu(dense(scope.In("fc1"), x, c.Hidden)), "fc1")
	}
	return dense(scope.In("logits"), x, c.Classes)
}

const convNetForm = "convnet[:width=W,layers=N,nobn,fc=UNITS] (for example convnet or convnet:width=0.25,nobn)"

// parseConvNet reads the options of "convnet". A network has one spelling, as names enter keys: the options in the order
// of convNetForm, and none that asks for the default.
func parseConvNet(spec, options string, classes int) (ConvNet, error) {
	c := ConvNet{Channels: convChannels, Strides: convStrides, Classes: classes}
	width := 1.0
	if options != "" {
		for field := range strings.SplitSeq(options, ",") {
			key, value, _ := strings.Cut(field, "=")
			number, err := strconv.ParseFloat(value, 64)
			whole := err == nil && number == math.Trunc(number)
			switch {
			case key == "width" && err == nil && number >= 1.0/64 && number <= 16:
				width = number
			case key == "layers" && whole && number >= 1 && number <= float64(len(convChannels)):
				c.Channels, c.Strides = convChannels[:int(number)], convStrides[:int(number)]
			case field == "nobn":
				c.Plain = true
			case key == "fc" && whole && number >= 1 && number <= 1<<20:
				c.Hidden = int(number)
			default:
				return ConvNet{}, fmt.Errorf("net %q: option %q is not one of width=1/64…16, layers=1…%d, nobn, fc=1…%d; write %s",
					spec, field, len(convChannels), 1<<20, convNetForm)
			}
		}
	}
	c.Channels = slices.Clone(c.Channels)
	for i, n := range c.Channels {
		c.Channels[i] = int(math.Round(float64(n) * width))
	}
	var spelled []string
	if width != 1 {
		spelled = append(spelled, "width="+strconv.FormatFloat(width, 'g', -1, 64))
	}
	if len(c.Channels) < len(convChannels) {
		spelled = append(spelled, fmt.Sprintf("layers=%d", len(c.Channels)))
	}
	if c.Plain {
		spelled = append(spelled, "nobn")
	}
	if c.Hidden > 0 {
		spelled = append(spelled, fmt.Sprintf("fc=%d", c.Hidden))
	}
	name := "convnet"
	if len(spelled) > 0 {
		name += ":" + strings.Join(spelled, ",")
	}
	if spec != name {
		return ConvNet{}, fmt.Errorf("net %q: this network is written %q, as one network must have one name", spec, name)
	}
	return c, nil
}
