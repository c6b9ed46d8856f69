// Package backend opens what computes: XLA through a PJRT plugin (CPU or CUDA), or GoMLX's pure-Go backend.
//
// It never downloads anything and never changes its choice without saying so: Backend.Why tells in words which backend
// was opened and for what reason.
package backend

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	_ "github.com/gomlx/compute/gobackend" // registers "go"
)

// Backend computes graphs.
type Backend struct {
	Engine compute.Backend // what GoMLX takes
	Kind   string          // "go", "xla:cpu" or "xla:cuda"
	Why    string          // why this one
	Plugin string          // path of the PJRT plugin, empty for "go"
}

// Plugin is a PJRT plugin found on this machine.
type Plugin struct {
	Kind string // "cpu" or "cuda"
	Path string
}

// PluginDirs lists the folders searched for plugins: those of PJRT_PLUGIN_LIBRARY_PATH, then plugins/ in home, the
// project's data folder.
func PluginDirs(home string) []string {
	dirs := filepath.SplitList(os.Getenv("PJRT_PLUGIN_LIBRARY_PATH"))
	if home != "" {
		dirs = append(dirs, filepath.Join(home, "plugins"))
	}
	return dirs
}

// Plugins lists the plugins found in dirs, at most one of each kind, CUDA first.
func Plugins(dirs []string) []Plugin {
	var found []Plugin
	for _, kind := range []string{"cuda", "cpu"} {
		for _, dir := range dirs {
			path := filepath.Join(dir, "pjrt_c_api_"+kind+"_plugin.so")
			if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
				if abs, err := filepath.Abs(path); err == nil {
					path = abs
				}
				found = append(found, Plugin{kind, path})
				break
			}
		}
	}
	return found
}

// Open opens the backend called name:
//
//	""          what GOMLX_BACKEND says; if that is unset, the best there is: a CUDA plugin on a machine with an NVIDIA
//	            device, else a CPU plugin, else pure Go
//	"go"        pure Go
//	"xla"       any plugin found
//	"xla:cpu", "xla:cuda", "xla:/path/to/plugin.so"
//
// A backend asked for by name is opened or an error says what is missing; only the empty name may end in pure Go.
// home is the project's data folder, where install.sh puts plugins (see PluginDirs).
func Open(name, home string) (*Backend, error) {
	why := "asked for by name"
	if name == "" {
		if name = os.Getenv(compute.ConfigEnvVar); name != "" {
			why = "GOMLX_BACKEND=" + name
		}
	}
	plugins := Plugins(PluginDirs(home))
	kind, option, _ := strings.Cut(name, ":")
	switch {
	case name == "":
		return openBest(plugins, home)
	case kind == "go":
		return open("go", "", why)
	case kind == "xla" && !haveXLA:
		return nil, fmt.Errorf("backend %q: this program was built without cgo, so it has only the backend \"go\"; "+
			"build it with CGO_ENABLED=1 and a C compiler", name)
	case kind == "xla" && filepath.IsAbs(option):
		if _, err := os.Stat(option); err != nil {
			return nil, fmt.Errorf("backend %q: %w", name, err)
		}
		return open("xla:"+kindOf(option), option, why)
	case kind == "xla" && (option == "" || option == "cpu" || option == "cuda"):
		for _, p := range plugins {
			if option == "" || option == p.Kind {
				return open("xla:"+p.Kind, p.Path, why)
			}
		}
		if option == "" {
			option = "cpu"
		}
		return nil, fmt.Errorf("backend %q: no pjrt_c_api_%s_plugin.so in %v; run ./install.sh, or use the backend \"go\"",
			name, option, PluginDirs(home))
	}
	return nil, fmt.Errorf("backend %q is not one of go, xla, xla:cpu, xla:cuda, xla:/path/to/plugin.so "+
		"(GOMLX_BACKEND or --backend)", name)
}

func openBest(plugins []Plugin, home string) (*Backend, error) {
	if !haveXLA {
		return open("go", "", "built without cgo, so without XLA")
	}
	reason := fmt.Sprintf("no XLA plugin in %v (./install.sh fetches it)", PluginDirs(home))
	for _, p := range plugins {
		if p.Kind == "cuda" && !haveNVIDIA() {
			continue
		}
		b, err := open("xla:"+p.Kind, p.Path, "plugin found")
		if err == nil {
			return b, nil
		}
		reason = err.Error()
	}
	return open("go", "", reason)
}

func open(kind, plugin, why string) (*Backend, error) {
	// One op of a pure-Go graph at a time: run side by side, convolutions take all workers of compute v0.1.6 and then wait
	// for each other's, for ever. Each op is parallel in itself.
	config := "go:ops_sequential"
	if plugin != "" {
		config = "xla:" + plugin
	}
	b, err := compute.NewWithConfig(config)
	if err != nil {
		return nil, fmt.Errorf("backend %q: cannot open %s: %w", kind, config, err)
	}
	return &Backend{Engine: b, Kind: kind, Why: why, Plugin: plugin}, nil
}

func kindOf(path string) string {
	if strings.Contains(filepath.Base(path), "cuda") {
		return "cuda"
	}
	return "cpu"
}

func haveNVIDIA() bool {
	_, err := os.Stat("/dev/nvidia0")
	return err == nil
}

// String names the backend and the reason for it in one line.
func (b *Backend) String() string {
	if b.Kind == "go" {
		return "pure Go (" + b.Why + ")"
	}
	return "XLA " + strings.TrimPrefix(b.Kind, "xla:") + " (" + b.Why + ": " + b.Plugin + ")"
}
