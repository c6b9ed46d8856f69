package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/seed-ea9a9d67/directions/pkg/unit"
)

// request is one line to a peer. Its network and data are files in the work folder.
type request struct {
	Kind     string    `json:"kind"`
	Threads  int       `json:"threads"`
	Net      string    `json:"net,omitempty"`
	Image    []int     `json:"image,omitempty"`
	Classes  int       `json:"classes,omitempty"`
	Weights  string    `json:"weights,omitempty"`
	Data     string    `json:"data,omitempty"`
	Examples int       `json:"examples,omitempty"` // the first of the data
	Mean     []float64 `json:"mean,omitempty"`     // of each plane, to standardise images by
	SD       []float64 `json:"sd,omitempty"`
	Settings

	Sets      [][]unit.Edit        `json:"sets,omitempty"`
	Tolerance float64              `json:"tolerance,omitempty"`
	Sites     []string             `json:"sites,omitempty"`
	Sigma     map[string][]float64 `json:"sigma,omitempty"` // by site and unit
	Scales    []float64            `json:"scales,omitempty"`
	Repeats   int                  `json:"repeats,omitempty"`
	Seed      uint64               `json:"seed,omitempty"`
	Batches   []int                `json:"batches,omitempty"`
	Formats   []bool               `json:"formats,omitempty"`
	LR        float64              `json:"lr,omitempty"`
	Order     string               `json:"order,omitempty"`
}

// Settings are what a peer's user would tune.
type Settings struct {
	Batch        int  `json:"batch,omitempty"`
	ChannelsLast bool `json:"channels_last,omitempty"`
	PerEval      int  `json:"per_eval,omitempty"` // Captum's perturbations_per_eval
}

func (s Settings) String() string {
	text := fmt.Sprintf("batch %s", thousands(s.Batch))
	if s.PerEval > 0 {
		text += fmt.Sprintf(", perturbations_per_eval %d", s.PerEval)
	}
	if s.ChannelsLast {
		text += ", channels last"
	}
	return text
}

// answer is one line from a peer.
type answer struct {
	Seconds float64          `json:"seconds"`
	Correct []int            `json:"correct"` // [sets]
	Noisy   [][]int          `json:"noisy"`   // [repeats, scales]
	Near    []int            `json:"near"`
	Impact  map[string][]int `json:"impact"`
	Loss    float64          `json:"loss"`
	Settings
	Versions map[string]string `json:"versions"`
}

// peer is a running Python script.
type peer struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
	log  *os.File // of the requests, so that they can be repeated by hand
}

// process sends a request to the script of this name, starting it at its first one.
func (b *bench) process(script string, r request) (answer, error) {
	p := b.peers[script]
	if p == nil {
		var err error
		if p, err = b.start(script); err != nil {
			return answer{}, err
		}
		b.peers[script] = p
	}
	r.Threads = b.threads
	line, err := json.Marshal(r)
	if err != nil {
		return answer{}, err
	}
	line = append(line, '\n')
	if _, err := p.log.Write(line); err != nil {
		return answer{}, err
	}
	if _, err := p.in.Write(line); err != nil {
		return answer{}, fmt.Errorf("%s: %w (its own words are above)", script, err)
	}
	var a answer
	if err := p.out.Decode(&a); err != nil {
		if b.ctx.Err() != nil {
			return answer{}, b.ctx.Err()
		}
		if errors.Is(err, io.EOF) {
			err = errors.New("ended without an answer")
		}
		return answer{}, fmt.Errorf("%s, asked to %s: %w (its own words are above)", script, r.Kind, err)
	}
	return a, nil
}

func (b *bench) start(script string) (*peer, error) {
	log.Printf("starting %s", script)
	cmd := exec.CommandContext(b.ctx, b.opt.python, filepath.Join(b.opt.dir, "peers", script), b.work)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS="+strconv.Itoa(b.threads), "PYTHONDONTWRITEBYTECODE=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	requests, err := os.Create(filepath.Join(b.work, script+".requests.jsonl"))
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", script, err)
	}
	return &peer{name: script, cmd: cmd, in: in, out: json.NewDecoder(out), log: requests}, nil
}

func (p *peer) close() {
	p.in.Close()
	p.log.Close()
	_ = p.cmd.Wait() // its answers were all it was for
}

// The scripts.
const (
	hooks  = "hooks.py"
	layers = "layers.py"
	train  = "train.py"
)

// tune lets the hooks peer try out batch sizes, and memory formats of convolutions, on so many examples at most as the
// largest batch has.
func (b *bench) tune(n network, examples int, batches []int) (Settings, error) {
	r := n.request("tune", min(examples, slices.Max(batches)))
	r.Batches, r.Formats = batches, []bool{false}
	if n.convolutional() {
		r.Formats = []bool{false, true}
	}
	a, err := b.ask(hooks, r)
	return Settings{Batch: a.Batch, ChannelsLast: a.ChannelsLast}, err
}
