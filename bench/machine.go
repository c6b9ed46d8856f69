package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// Machine is where a run was made.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int    `json:"memory_gib"` // rounded
	OS     string `json:"os"`
}

// String is a clause for people.
func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores, %d GiB, %s", m.CPU, m.Cores, m.Memory, m.OS)
}

func machine() Machine {
	m := Machine{CPU: "unknown processor", Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH}
	switch runtime.GOOS {
	case "linux":
		if model := field("/proc/cpuinfo", "model name"); model != "" {
			m.CPU = model
		}
		kib, _ := strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"))
		m.Memory = (kib + 1<<19) >> 20
		if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
			m.OS += " " + strings.TrimSpace(string(kernel))
		}
	case "darwin":
		if model := output("sysctl", "-n", "machdep.cpu.brand_string"); model != "" {
			m.CPU = model
		}
		bytes, _ := strconv.Atoi(output("sysctl", "-n", "hw.memsize"))
		m.Memory = (bytes + 1<<29) >> 30
		m.OS += " " + output("uname", "-r")
	}
	return m
}

// field is the first value of a key in a file of lines "key : value".
func field(path, key string) string {
	text, _ := os.ReadFile(path) // a file that is not there has no keys
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// output is what a command prints, nothing if it fails.
func output(name string, args ...string) string {
	text, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// commit is that of the clone, with "+changes" if files differ from it.
func commit(dir string) string {
	id := output("git", "-C", dir, "rev-parse", "--short=12", "HEAD")
	if id == "" {
		return "unknown"
	}
	// What this command writes itself does not count.
	own := []string{":!/bench/README.md", ":!/bench/results.json"}
	if output("git", append([]string{"-C", dir, "status", "--porcelain", "--", ":/"}, own...)...) != "" {
		id += "+changes"
	}
	return id
}

// versions are those of both sides.
func (b *bench) versions() (map[string]string, error) {
	all := result.Versions()
	delete(all, "directions") // the commit says it
	plugin, err := pluginVersion(b.backend.Plugin, filepath.Join(b.opt.dir, "..", "kernels"))
	if err != nil {
		return nil, err
	}
	all["XLA plugin"] = plugin
	for _, script := range []string{hooks, layers} {
		a, err := b.ask(script, request{Kind: "versions"})
		if err != nil {
			return nil, err
		}
		maps.Copy(all, a.Versions)
	}
	return all, nil
}

// pluginVersion names the wheel that a plugin stems from, if it is the one of kernels/plugin-*.txt, else its checksum.
func pluginVersion(path, kernels string) (string, error) {
	if path == "" {
		return "none (pure Go)", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	for _, kind := range []string{"cpu", "cuda"} {
		text, err := os.ReadFile(filepath.Join(kernels, "plugin-"+kind+".txt"))
		if err != nil || !strings.Contains(string(text), sum) {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if name, version, ok := strings.Cut(line, "=="); ok {
				return name + " " + strings.TrimRight(version, " \\\n"), nil
			}
		}
	}
	return "sha256 " + sum[:12], nil
}
