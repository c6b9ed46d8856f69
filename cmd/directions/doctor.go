package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-ea9a9d67/directions/datasets"
	"github.com/seed-ea9a9d67/directions/pkg/backend"
	"github.com/seed-ea9a9d67/directions/pkg/result"
)

// finding is one thing the doctor looked at.
type finding struct {
	What     string `json:"what"`
	OK       bool   `json:"ok"`
	Needed   bool   `json:"needed"` // for the main job
	Found    string `json:"found"`
	HowToFix string `json:"how_to_fix,omitempty"`
}

func newDoctor(a *app) *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use:   "doctor",
		Short: "What works here, what does not, and how to fix it",
		Long:  "Look at backend, data, store, kernel and Jupyter. Exits with 1 if the main job (directions demo) could not run.",
		Args:  none,
		RunE: func(*cobra.Command, []string) error {
			findings := a.examine()
			if asJSON {
				e := json.NewEncoder(os.Stdout)
				e.SetIndent("", "  ")
				if err := e.Encode(findings); err != nil {
					return err
				}
			}
			var broken []string
			for _, f := range findings {
				mark := "ok     "
				if !f.OK {
					mark = "missing"
					if f.Needed {
						mark = "BROKEN "
						broken = append(broken, f.What)
					}
				}
				if !asJSON {
					fmt.Printf("%s  %-14s %s\n", mark, f.What, f.Found)
					if f.HowToFix != "" {
						fmt.Printf("%24s fix: %s\n", "", f.HowToFix)
					}
				}
			}
			if broken != nil {
				return fmt.Errorf("the main job cannot run: %s", strings.Join(broken, ", "))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

func (a *app) examine() []finding {
	var fs []finding
	home := a.home
	if home == "" {
		home, _ = result.Home()
	}
	store, err := result.Open(home)
	f := finding{What: "store", Needed: true, OK: err == nil}
	if err != nil {
		f.Found, f.HowToFix = err.Error(), "set DIRECTIONS_HOME to a folder you may write"
	} else {
		size, _ := store.Size()
		runs, _ := store.Runs()
		results, _ := store.Results()
		f.Found = fmt.Sprintf("%s: %d networks, %d results, %.1f MB", store.Dir(), len(runs), len(results), float64(size)/1e6)
	}
	fs = append(fs, f)

	plugins := backend.Plugins(backend.PluginDirs(home))
	b, err := backend.Open(a.backend, home)
	f = finding{What: "backend", Needed: true, OK: err == nil}
	if err != nil {
		f.Found, f.HowToFix = err.Error(), "./install.sh, or --backend go"
	} else {
		f.Found = b.String() + "; " + b.Engine.Description()
		if b.Kind == "go" && len(plugins) == 0 {
			f.HowToFix = "XLA is many times faster: ./install.sh fetches its plugin"
		}
	}
	fs = append(fs, f)
	f = finding{What: "XLA plugin", Found: "none in " + strings.Join(backend.PluginDirs(home), ", "), HowToFix: "./install.sh"}
	if len(plugins) > 0 {
		f = finding{What: "XLA plugin", OK: true}
		for _, p := range plugins {
			f.Found = strings.TrimSpace(f.Found + " " + p.Kind + ": " + p.Path)
		}
		if v := result.Versions()["go-xla"]; v != "" {
			f.Found += " (go-xla " + v + ")"
		}
	}
	fs = append(fs, f)

	dirs := slices.Clone(a.data)
	if dirs == nil {
		dirs = filepath.SplitList(os.Getenv("DIRECTIONS_DATA"))
	}
	if store != nil {
		dirs = append(dirs, store.DataDir())
	}
	for _, e := range datasets.Catalog() {
		state := dataState(e.Name, dirs)
		f := finding{What: "data " + e.Name, OK: state == "yes", Needed: e.Embedded, Found: state}
		if !f.OK {
			f.HowToFix = fmt.Sprintf("directions data fetch %s, or set DIRECTIONS_DATA to a folder that has %s/", e.Name, e.Name)
		}
		fs = append(fs, f)
	}
	fs = append(fs, look("Go", "go", "version"), lookAround("kernel", "gonb", "--version"), lookAround("JupyterLab", "jupyter-lab", "--version"))
	return fs
}

// look finds a program on the PATH and asks its version.
func look(what, program string, args ...string) finding {
	return ask(what, program, exec.LookPath, args)
}

// lookAround is look, and also finds what install.sh put into the clone this program was built in.
func lookAround(what, program string, args ...string) finding {
	return ask(what, program, func(name string) (string, error) {
		if self, err := os.Executable(); err == nil {
			root := filepath.Dir(filepath.Dir(self))
			for _, dir := range []string{".bin", filepath.Join(".venv", "bin")} {
				path := filepath.Join(root, dir, name)
				if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
					return path, nil
				}
			}
		}
		return exec.LookPath(name)
	}, args)
}

func ask(what, program string, find func(string) (string, error), args []string) finding {
	path, err := find(program)
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			err = fmt.Errorf("%s is not installed", program)
		}
		return finding{What: what, Found: err.Error(), HowToFix: "./install.sh (needed for notebooks only)"}
	}
	text, err := exec.Command(path, args...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if err != nil {
		return finding{What: what, Found: fmt.Sprintf("%s does not run: %v %s", path, err, line), HowToFix: "./install.sh"}
	}
	return finding{What: what, OK: true, Found: path + ": " + line}
}
