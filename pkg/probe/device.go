package probe

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/gomlx/compute/dtypes/gotype"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/support/exceptions"
)

// outcomes of rows; counting is left to the host, where sums are exact.
type outcomes struct {
	class []int32   // predicted class; of tied classes the lowest
	tied  []int32   // how many other classes share the largest logit
	loss  []float32 // cross-entropy in nats
}

// answer is the outcome of one row.
type answer struct {
	class, tied int32
	loss        float32
}

func (o outcomes) at(row int) answer { return answer{o.class[row], o.tied[row], o.loss[row]} }

// read copies the outcomes, the first three outputs, to the host and frees the device's copies.
func read(out []*tensors.Tensor) (o outcomes, err error) {
	defer free(out[:3])
	if o.class, err = copyOut[int32](out[0]); err != nil {
		return o, err
	}
	if o.tied, err = copyOut[int32](out[1]); err != nil {
		return o, err
	}
	o.loss, err = copyOut[float32](out[2])
	return o, err
}

func copyOut[T gotype.Supported](t *tensors.Tensor) ([]T, error) {
	flat, err := tensors.CopyFlatData[T](t)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	return flat, nil
}

// call runs a graph; a panic while it is being compiled is an error like any other.
func call(exec *model.Exec, inputs ...*tensors.Tensor) (outputs []*tensors.Tensor, err error) {
	args := make([]any, len(inputs))
	for i, t := range inputs {
		args[i] = t
	}
	panicked := exceptions.TryCatch[error](func() { outputs, err = exec.Call(args...) })
	if err = cmp.Or(err, panicked); err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	return outputs, nil
}

// free gives back at once what the garbage collector would free some time.
func free(ts []*tensors.Tensor) {
	for _, t := range ts {
		_ = t.FinalizeAll()
	}
}

// memory is what tensors take on the device, in bytes.
func memory(ts []*tensors.Tensor) (bytes int64) {
	for _, t := range ts {
		bytes += int64(t.Shape().ByteSize())
	}
	return bytes
}

// last makes nodes the last ones of their graph: the pure-Go backend cannot run a graph with parameters, here the
// weights of later layers, that were made after its last output.
func last(nodes []*graph.Node) []*graph.Node {
	out := make([]*graph.Node, len(nodes))
	for i, n := range nodes {
		out[i] = graph.Identity(n)
	}
	return out
}

// PhysicalMemory is the machine's memory in bytes; 4 GiB are assumed where the system does not tell.
func PhysicalMemory() int64 {
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
				if kib, err := strconv.ParseInt(f[1], 10, 64); err == nil {
					return kib << 10
				}
			}
		}
	}
	return 4 << 30
}
