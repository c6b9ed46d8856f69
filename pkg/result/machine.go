package result

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// Machine describes where this program runs: "linux/amd64, 2 cores, Go 1.26.8".
func Machine() string {
	cores := "1 core"
	if n := runtime.NumCPU(); n != 1 {
		cores = fmt.Sprintf("%d cores", n)
	}
	return fmt.Sprintf("%s/%s, %s, Go %s", runtime.GOOS, runtime.GOARCH, cores, goVersion())
}

func goVersion() string { return strings.TrimPrefix(runtime.Version(), "go") }

// Versions gives the versions of directions, gomlx, compute, go-xla and go that are built into this program. A version is
// "unknown" if the module is not in the program or the program carries no list of modules, "local copy" if the module was
// replaced by a folder, as notebooks do with the clone they lie in. A build from a clone names the commit.
func Versions() map[string]string {
	info, _ := debug.ReadBuildInfo()
	return versions(info)
}

func versions(info *debug.BuildInfo) map[string]string {
	modules := map[string]string{
		"directions": "github.com/seed-ea9a9d67/directions",
		"gomlx":      "github.com/gomlx/gomlx",
		"compute":    "github.com/gomlx/compute",
		"go-xla":     "github.com/gomlx/go-xla",
	}
	found := map[string]string{"go": goVersion()}
	for name := range modules {
		found[name] = "unknown"
	}
	if info == nil {
		return found
	}
	for name, path := range modules {
		if info.Main.Path == path {
			found[name] = mainVersion(info)
		}
		for _, m := range info.Deps {
			if m.Path != path {
				continue
			}
			if m.Replace != nil {
				m = m.Replace
				if m.Version == "" {
					found[name] = "local copy"
					continue
				}
			}
			found[name] = m.Version
		}
	}
	return found
}

// mainVersion is the version of the main module, or the commit where there is no version.
func mainVersion(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	commit, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if commit == "" {
		return "unknown"
	}
	return commit + dirty
}
