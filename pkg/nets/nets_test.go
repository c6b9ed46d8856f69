package nets

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/backend"
	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/tap"
	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

var openBackend = sync.OnceValues(func() (*backend.Backend, error) {
	home, _ := result.Home()
	return backend.Open("", home)
})

// open gives the backend that GOMLX_BACKEND names, or the best there is.
func open(t require.TestingT) *backend.Backend {
	b, err := openBackend()
	require.NoError(t, err)
	return b
}

func parse(t require.TestingT, spec string, image []int, classes int) Net {
	net, err := Parse(spec, image, classes)
	require.NoError(t, err)
	return net
}

func TestParseErrorsSayWhatIsAllowed(t *testing.T) {
	image := []int{28, 28, 1}
	width := func(field string) string {
		return fmt.Sprintf("layer width %q is not a number between 1 and 1048576 (for example mlp:512,512)", field)
	}
	for _, c := range []struct {
		spec    string
		image   []int
		classes int
		says    string
	}{
		{"", image, 10, `net "" is not known; allowed: mlp:WIDTH,WIDTH,…`},
		{"cnn:3", image, 10, `net "cnn:3" is not known; allowed: mlp:`},
		{"MLP:3", image, 10, `net "MLP:3" is not known`},
		{" mlp:3", image, 10, `net " mlp:3" is not known`},
		{"mlp", image, 10, width("")},
		{"mlp:", image, 10, width("")},
		{"mlp:512,", image, 10, width("")},
		{"mlp:,512", image, 10, width("")},
		{"mlp:0", image, 10, width("0")},
		{"mlp:8,-1", image, 10, width("-1")},
		{"mlp:1048577", image, 10, width("1048577")},
		{"mlp:99999999999999999999", image, 10, width("99999999999999999999")},
		{"mlp:8;8", image, 10, width("8;8")},
		{"mlp:8, 8", image, 10, width(" 8")},
		{"mlp:8.5", image, 10, width("8.5")},
		{"mlp:1e3", image, 10, width("1e3")},
		// these are numbers, but would be second names of one network, with keys of their own
		{"mlp:+8", image, 10, width("+8")},
		{"mlp:08", image, 10, width("08")},
		{"mlp:8", image, 1, `net "mlp:8": 1 classes, at least 2 are needed`},
		{"mlp:8", image, -3, `-3 classes`},
		{"mlp:8", nil, 10, `net "mlp:8": image shape [] is not [height, width, channels]`},
		{"mlp:8", []int{28, 28}, 10, `image shape [28 28] is not`},
		{"mlp:8", []int{28, 28, 0}, 10, `image shape [28 28 0] is not`},
	} {
		_, err := Parse(c.spec, c.image, c.classes)
		require.ErrorContains(t, err, c.says, "%q", c.spec)
	}
	net := parse(t, "mlp:1048576", image, 2)
	image[0] = 99
	require.Equal(t, []int{28, 28, 1}, net.Image, "the network keeps no slice of its caller")
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"mlp:512,512", "mlp:1", "mlp:", "mlp:08", "mlp:1,,2", "cnn:1", "mlp:٣", "convnet:width=0.25,nobn", "resnet20"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		net, err := Parse(spec, []int{2, 2, 1}, 2)
		if err != nil {
			return
		}
		require.Equal(t, spec, net.Name)
		if !strings.HasPrefix(spec, "mlp:") {
			_, isResNet := resNets[spec]
			require.True(t, isResNet || strings.HasPrefix(spec, "convnet"), spec)
			_, _, err := net.Sketch(open(t).Engine)
			require.NoError(t, err)
			return
		}
		var widths []int
		for part := range bytes.SplitSeq([]byte(spec[len("mlp:"):]), []byte(",")) {
			var w int
			_, err := fmt.Sscanf(string(part), "%d", &w)
			require.NoError(t, err)
			widths = append(widths, w)
		}
		again := "mlp:"
		for i, w := range widths {
			require.Positive(t, w)
			if i > 0 {
				again += ","
			}
			again += fmt.Sprint(w)
		}
		require.Equal(t, spec, again, "one network, one name")
	})
}

func TestSketch(t *testing.T) {
	sites, params, err := parse(t, "mlp:5,4,3", []int{2, 3, 2}, 7).Sketch(open(t).Engine)
	require.NoError(t, err)
	require.Equal(t, []unit.Site{{Name: "fc1", Shape: []int{5}}, {Name: "fc2", Shape: []int{4}}, {Name: "fc3", Shape: []int{3}}}, sites)
	require.Equal(t, map[string][]int{
		"fc1.weight": {5, 12}, "fc1.bias": {5}, "fc2.weight": {4, 5}, "fc2.bias": {4}, "fc3.weight": {3, 4}, "fc3.bias": {3},
		"logits.weight": {7, 3}, "logits.bias": {7},
	}, params)
}

func TestSketchRefusesWrongNetworks(t *testing.T) {
	for says, graphOf := range map[string]func(*model.Scope, *graph.Node) *graph.Node{
		"net odd: logits of 2 images have shape [2 4 1], want [2, 3]": func(_ *model.Scope, x *graph.Node) *graph.Node { return x },
		"shape [8], want [2, 3]": func(_ *model.Scope, x *graph.Node) *graph.Node { return graph.Reshape(x, -1) },
		`the name "a" is used twice`: func(_ *model.Scope, x *graph.Node) *graph.Node {
			return tap.Point(tap.Point(x, "a"), "a")
		},
	} {
		sites, params, err := Net{Name: "odd", Image: []int{4, 1, 1}, Classes: 3, Graph: func(s *model.Scope, x *graph.Node) *graph.Node {
			return graphOf(s, graph.Reshape(x, 2, 4, 1))
		}}.Sketch(open(t).Engine)
		require.ErrorContains(t, err, says)
		require.Nil(t, sites)
		require.Nil(t, params)
	}
}

// The initial weights are drawn on the host, so these are the numbers on every backend. They identify a trained network:
// if this fails, networks get other weights under the same key.
func TestInitIsFixed(t *testing.T) {
	net := parse(t, "mlp:5,4", []int{2, 2, 1}, 3)
	weights, err := net.Init(open(t).Engine, 1)
	require.NoError(t, err)
	h := fnv.New64a()
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		fmt.Fprintln(h, name, weights[name])
	}
	require.Equal(t, []float32{-0.8839476, 0.27963796, -0.6444102}, weights["fc1.weight"].Data[:3])
	require.Equal(t, uint64(0xd6fe6267b70bebc8), h.Sum64())
}

func TestInitStatistics(t *testing.T) {
	net := parse(t, "mlp:400,250", []int{20, 10, 1}, 10)
	weights, err := net.Init(open(t).Engine, 3)
	require.NoError(t, err)
	require.NoError(t, net.Check(open(t).Engine, weights))
	for name, fanIn := range map[string]float64{"fc1.weight": 200, "fc2.weight": 400, "logits.weight": 250} {
		data := weights[name].Data
		require.Equal(t, int(fanIn), weights[name].Shape[1])
		var n, sum, squares, fourths, positive float64
		for _, x := range data {
			z := float64(x) / math.Sqrt(2/fanIn) // N(0, 1)
			n, sum, squares, fourths = n+1, sum+z, squares+z*z, fourths+z*z*z*z
			if z > 0 {
				positive++
			}
		}
		// standard errors of the moments of N(0, 1) are sqrt(1, 2, 96)/sqrt(n); allow 4 of them
		se := 4 / math.Sqrt(n)
		require.InDelta(t, 0, sum/n, se, name)
		require.InDelta(t, 1, squares/n, se*math.Sqrt(2), name)
		require.InDelta(t, 3, fourths/n, se*math.Sqrt(96), name)
		require.InDelta(t, 0.5, positive/n, se/2, name)
	}
	for _, name := range []string{"fc1.bias", "fc2.bias", "logits.bias"} {
		require.Equal(t, make([]float32, weights[name].Shape[0]), weights[name].Data)
	}

	same, err := net.Init(open(t).Engine, 3)
	require.NoError(t, err)
	requireSameBits(t, weights, same)
	other, err := net.Init(open(t).Engine, 4)
	require.NoError(t, err)
	require.NotEqual(t, weights["fc1.weight"], other["fc1.weight"])
	// A parameter's draw does not depend on what other parameters there are.
	small, err := parse(t, "mlp:400", []int{20, 10, 1}, 10).Init(open(t).Engine, 3)
	require.NoError(t, err)
	require.Equal(t, weights["fc1.weight"], small["fc1.weight"])
	require.NotEqual(t, weights["fc2.weight"].Data[:100], small["logits.weight"].Data[:100])
}

func TestCheck(t *testing.T) {
	net := parse(t, "mlp:3", []int{2, 2, 1}, 2)
	good := func() map[string]Array {
		w, err := net.Init(open(t).Engine, 1)
		require.NoError(t, err)
		return w
	}
	require.NoError(t, net.Check(open(t).Engine, good()))
	type arrays = map[string]Array
	for says, change := range map[string]func(w arrays){
		`net mlp:3: the weights have no "fc1.bias" [3]; they have [fc1.weight logits.bias logits.weight]`: func(w arrays) {
			delete(w, "fc1.bias")
		},
		`the weights have no "fc1.bias" [3]; they have []`: func(w arrays) { clear(w) },
		`net mlp:3 has no parameter "fc2.weight", which the weights contain; it has [fc1.bias fc1.weight`: func(w arrays) {
			w["fc2.weight"] = Array{[]int{1}, []float32{1}}
		},
		`"fc1.weight" has shape [4 3] in the weights, the network needs [3 4]`: func(w arrays) {
			w["fc1.weight"] = Array{[]int{4, 3}, make([]float32, 12)}
		},
		`"fc1.weight" has shape [12] in the weights, the network needs [3 4]`: func(w arrays) {
			w["fc1.weight"] = Array{[]int{12}, make([]float32, 12)}
		},
		`"fc1.weight" of shape [3 4] has 11 elements in the weights, it should have 12`: func(w arrays) {
			w["fc1.weight"] = Array{[]int{3, 4}, make([]float32, 11)}
		},
		`"fc1.weight"[5] is NaN; weights must be finite`:   func(w arrays) { w["fc1.weight"].Data[5] = float32(math.NaN()) },
		`"logits.bias"[1] is -Inf; weights must be finite`: func(w arrays) { w["logits.bias"].Data[1] = -float32Inf },
	} {
		w := good()
		change(w)
		require.ErrorContains(t, net.Check(open(t).Engine, w), says)
	}
}

func TestStoreRoundTrip(t *testing.T) {
	weights := map[string]Array{
		"fc1.weight":             {[]int{2, 3}, []float32{1, -2, 3, float32Inf, 0, float32(math.Copysign(0, -1))}},
		"fc1.bias":               {[]int{2}, []float32{0.1, math.SmallestNonzeroFloat32}},
		"layer1.0.conv.weight":   {[]int{1, 1, 1, 2}, []float32{5, 6}},
		"scale":                  {[]int{}, []float32{7}},
		"optimizer.adam_m.scale": {[]int{}, []float32{8}},
	}
	store, err := NewStore(weights)
	require.NoError(t, err)
	defer store.Finalize()
	first := weights["fc1.bias"].Data[0]
	got, err := FromStore(store, slices.Collect(maps.Keys(weights)))
	require.NoError(t, err)
	requireSameBits(t, weights, got)
	got["fc1.bias"].Data[0] = 99
	weights["fc1.bias"].Data[0] = 98
	again, err := FromStore(store, []string{"fc1.bias"})
	require.NoError(t, err)
	require.Len(t, again, 1, "only what was asked for")
	require.Equal(t, first, again["fc1.bias"].Data[0], "the store shares no memory with the weights it came from or gave")
	_, err = FromStore(store, []string{"fc2.bias"})
	require.EqualError(t, err, `the store has no parameter "fc2.bias"`)
}

// call computes a network's logits, raw images in.
func call(t *testing.T, net Net, weights map[string]Array, n int, images []byte) [][]float32 {
	require.NoError(t, net.Check(open(t).Engine, weights))
	store, err := NewStore(weights)
	require.NoError(t, err)
	defer store.Finalize()
	exec, err := model.NewExec(open(t).Engine, store, func(s *model.Scope, x *graph.Node) *graph.Node {
		return net.Graph(s, net.Pixels(graph.Reshape(x, append([]int{n}, net.Image...)...)))
	})
	require.NoError(t, err)
	defer exec.Finalize()
	out, err := exec.Call(images)
	require.NoError(t, err)
	return out[0].Value().([][]float32)
}

// Expected values: testdata/pytorch.py, PyTorch 2.15.0 on a CPU, in float64. The weight matrices are PyTorch's, [out, in].
func TestLogitsAgainstPyTorch(t *testing.T) {
	net := parse(t, "mlp:3,2", []int{2, 2, 1}, 3)
	weights := map[string]Array{
		"fc1.weight":    {[]int{3, 4}, []float32{0.5, -0.3, 0.8, 0.1, -0.6, 0.9, 0.2, -0.4, 0.3, 0.7, -0.5, 0.6}},
		"fc1.bias":      {[]int{3}, []float32{0.01, 0.1, -0.05}},
		"fc2.weight":    {[]int{2, 3}, []float32{0.7, -0.2, 0.4, -0.5, 0.6, 0.1}},
		"fc2.bias":      {[]int{2}, []float32{0.02, -0.03}},
		"logits.weight": {[]int{3, 2}, []float32{1.5, -1, 0.25, 0.75, -0.125, 2}},
		"logits.bias":   {[]int{3}, []float32{0.3, 0.2, 0.1}},
	}
	want := [][]float64{
		{0.285500000, 0.220500000, 0.149125000},
		{1.206794118, 0.351132353, 0.024433824},
		{-0.189578431, 0.581014706, 1.108075980},
		{2.065500000, 0.494250000, -0.047125000},
	}
	got := call(t, net, weights, 4, []byte{0, 0, 0, 0, 255, 30, 7, 90, 12, 200, 65, 0, 255, 255, 255, 255})
	require.Len(t, got, len(want))
	for i, row := range want {
		for k, x := range row {
			require.InDelta(t, x, got[i][k], 1e-6, "image %d, class %d", i, k)
		}
	}
}

// PyTorch divides: torch.arange(256).float()/255 are the quotients, correctly rounded, that Go computes here too. The
// number of values that differ from the product is that of testdata/pytorch.py.
func TestPixelsAgainstPyTorch(t *testing.T) {
	exec, err := graph.NewExec(open(t).Engine, Net{}.Pixels)
	require.NoError(t, err)
	images := make([]byte, 256)
	for i := range images {
		images[i] = byte(i)
	}
	out, err := exec.Call(images)
	require.NoError(t, err)
	require.Equal(t, dtypes.Float32, out[0].DType())
	differ := 0
	for i, x := range out[0].Value().([]float32) {
		quotient := float32(i) / 255
		require.Equal(t, float32(i)*(float32(1)/255), x)
		if x != quotient {
			differ++
			ulp := math.Nextafter32(quotient, x)
			require.Equal(t, ulp, x, "pixel %d is more than 1 ulp off", i)
		}
	}
	require.Equal(t, 126, differ)
	require.Equal(t, float32(0), out[0].Value().([]float32)[0])
	require.Equal(t, float32(1), out[0].Value().([]float32)[255])
}

func ExampleNet_Sketch() {
	b, err := backend.Open("go", "")
	if err != nil {
		panic(err)
	}
	net, err := Parse("mlp:512,128", []int{28, 28, 1}, 10)
	if err != nil {
		panic(err)
	}
	sites, params, err := net.Sketch(b.Engine)
	fmt.Println(sites, err)
	for _, name := range slices.Sorted(maps.Keys(params)) {
		fmt.Println(name, params[name])
	}
	// Output:
	// [{fc1 [512]} {fc2 [128]}] <nil>
	// fc1.bias [512]
	// fc1.weight [512 784]
	// fc2.bias [128]
	// fc2.weight [128 512]
	// logits.bias [10]
	// logits.weight [10 128]
}

func ExampleParse() {
	_, err := Parse("mlp:512,big", []int{28, 28, 1}, 10)
	fmt.Println(err)
	// Output:
	// net "mlp:512,big": layer width "big" is not a number between 1 and 1048576 (for example mlp:512,512)
}
