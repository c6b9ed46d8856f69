package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// theirs copies an ONNX file of pkg/onnx/testdata (see export.py there).
func (s shell) theirs(name string) {
	text, err := os.ReadFile(filepath.Join("..", "..", "pkg", "onnx", "testdata", name))
	require.NoError(s.t, err)
	s.write(name, string(text))
}

// digits is what PyTorch makes of 200 test images: right ones and the loss (nats), unedited and with each unit at zero.
type digits struct {
	Unedited [2]float64
	Sites    []string
	Each     [][][2]float64
}

func TestONNX(t *testing.T) {
	s := newShell(t)
	s.theirs("digits.onnx")
	var want digits
	text, err := os.ReadFile(filepath.Join("..", "..", "pkg", "onnx", "testdata", "digits.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &want))
	require.Greater(t, want.Unedited[0], 150.0, "a trained network")
	on := []string{"--data", "mnist10k", "--input", "0.13/0.31", "--split", "test", "--examples", "200"}

	type impacts struct {
		Sites   []string
		Impacts []struct {
			Site      string
			Unit      int
			Score     struct{ Correct int }
			DeltaLoss float64 `json:"delta_loss"`
		}
	}
	check := func(out string) {
		var got impacts
		require.NoError(t, json.Unmarshal([]byte(out), &got))
		require.Equal(t, want.Sites, got.Sites, "none were named: those behind the activation functions")
		k := 0
		for i, site := range want.Sites {
			for u, w := range want.Each[i] {
				x := got.Impacts[k]
				require.Equal(t, site, x.Site)
				require.Equal(t, u, x.Unit)
				require.EqualValues(t, w[0], x.Score.Correct, "%s %d", site, u)
				require.InDelta(t, w[1]-want.Unedited[1], x.DeltaLoss, 1e-5, "%s %d", site, u)
				k++
			}
		}
		require.Len(t, got.Impacts, k)
	}
	out, progress := s.ok(append([]string{"ablate", "digits.onnx", "--each", "--json", "-"}, on...)...)
	check(out)
	require.Contains(t, progress, "ablating single units of digits.onnx")

	// Kept, it is a run like any other, and its results are those of the file.
	s.ok("import", "digits.onnx", "--data", "mnist10k", "--input", "0.13/0.31", "--name", "theirs", "-q")
	require.NoError(t, os.Remove(s.path("digits.onnx")))
	out, progress = s.ok("ablate", "theirs", "--each", "--split", "test", "--examples", "200", "--json", "-")
	check(out)
	require.Empty(t, progress, "from the store")
	out, _ = s.ok("runs", "show", "theirs")
	require.Regexp(t, `net +onnx\n`, out)
	path := strings.TrimSpace(out[strings.Index(out, "weights: ")+len("weights: "):])
	require.Equal(t, "model.onnx", filepath.Base(path))
	require.FileExists(t, path)
	out, _ = s.ok("runs", "list")
	require.Contains(t, out, "theirs")

	out, _ = s.ok("ablate", "theirs", "--sites", "/0/Conv_output_0,"+want.Sites[2], "--orders", "2", "--points", "4", "--split", "test", "--examples", "100")
	require.Contains(t, out, "Cumulative ablation of theirs")
	out, _ = s.ok("noise", "theirs", "--sites", want.Sites[2], "--scales", "0.1,10", "--repeats", "1", "--split", "test", "--examples", "100")
	require.Contains(t, out, "Noise sweep of theirs")
	out, _ = s.ok("units", "theirs", "--sites", want.Sites[1], "--examples", "100")
	require.Contains(t, out, want.Sites[1])

	message := s.fails("ablate", "theirs", "--sites", "relu")
	require.Contains(t, message, `no site "relu", the network has [/0/Conv_output_0 `)
	for _, site := range want.Sites {
		require.Contains(t, message, site)
	}
}

func TestONNXRefused(t *testing.T) {
	s := newShell(t)
	s.net()
	for _, name := range []string{"digits.onnx", "residual.onnx", "external.onnx"} {
		s.theirs(name)
	}
	s.write("page.onnx", "<!DOCTYPE html>")
	for want, args := range map[string]string{
		"digits.onnx: an ONNX file needs --data, for example --data cifar10":                                     "ablate digits.onnx",
		"--net mlp:3: digits.onnx has its network itself; leave --net out":                                       "ablate digits.onnx --net mlp:3 --data mnist10k",
		`residual.onnx: the network takes [?, 3, 8, 8] in its input "x", images of the data set are [28, 28, 1]`: "noise residual.onnx --data mnist10k",
		"external.onnx.data":          "import external.onnx --data mnist10k",
		"or not an ONNX model":        "inspect page.onnx",
		"no such file":                "ablate none.onnx --data mnist10k",
		"is a run, which has its own": "ablate net --unit-axis 1",
		"--unit-axis, --layout and --output are for an .onnx file": "import x.safetensors --net mlp:3 --data mnist10k --layout nchw",
		`layout "chw" is not one of nchw`:                          "ablate digits.onnx --data mnist10k --layout chw",
		"unit axis 7: allowed are 1, 2, 3":                         "ablate digits.onnx --data mnist10k --unit-axis 7",
		`no operation gives a tensor called "z"`:                   "inspect digits.onnx --output z",
		`net "onnx" is not known`:                                  "train --net onnx",
		"inspect takes one argument, an .onnx FILE; 0 were":        "inspect",
	} {
		require.Contains(t, s.fails(strings.Fields(args)...), want, args)
	}
}
