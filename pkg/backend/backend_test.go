package backend_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-ea9a9d67/directions/pkg/backend"
)

func ExampleOpen() {
	b, err := backend.Open("go", "")
	fmt.Println(b, err)
	_, err = backend.Open("tpu", "")
	fmt.Println(err)
	// Output:
	// pure Go (asked for by name) <nil>
	// backend "tpu" is not one of go, xla, xla:cpu, xla:cuda, xla:/path/to/plugin.so (GOMLX_BACKEND or --backend)
}

func TestPluginsAreFoundInOrder(t *testing.T) {
	home, other := t.TempDir(), t.TempDir()
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", other)
	require.NoError(t, os.Mkdir(filepath.Join(home, "plugins"), 0o755))
	cpu := filepath.Join(home, "plugins", "pjrt_c_api_cpu_plugin.so")
	require.NoError(t, os.WriteFile(cpu, nil, 0o644))
	require.Equal(t, []backend.Plugin{{Kind: "cpu", Path: cpu}}, backend.Plugins(backend.PluginDirs(home)))

	first := filepath.Join(other, "pjrt_c_api_cpu_plugin.so")
	require.NoError(t, os.WriteFile(first, nil, 0o644))
	cuda := filepath.Join(home, "plugins", "pjrt_c_api_cuda_plugin.so")
	require.NoError(t, os.WriteFile(cuda, nil, 0o644))
	require.Equal(t, []backend.Plugin{{Kind: "cuda", Path: cuda}, {Kind: "cpu", Path: first}}, backend.Plugins(backend.PluginDirs(home)))
}

func TestWithoutPlugin(t *testing.T) {
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", "")
	t.Setenv("GOMLX_BACKEND", "")
	home := t.TempDir()

	b, err := backend.Open("", home)
	require.NoError(t, err)
	require.Equal(t, "go", b.Kind)
	require.Contains(t, b.String(), "no XLA plugin in", "the choice is explained")

	for _, name := range []string{"xla", "xla:cpu", "xla:cuda"} {
		_, err = backend.Open(name, home)
		require.ErrorContains(t, err, "./install.sh", "asked for by name, XLA is not replaced silently")
	}
	_, err = backend.Open("xla:/does/not/exist.so", home)
	require.Error(t, err)

	t.Setenv("GOMLX_BACKEND", "go")
	b, err = backend.Open("", home)
	require.NoError(t, err)
	require.Equal(t, "GOMLX_BACKEND=go", b.Why)
}

func TestDamagedPluginFallsBackWithAWord(t *testing.T) {
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", "")
	t.Setenv("GOMLX_BACKEND", "")
	home := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(home, "plugins"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(home, "plugins", "pjrt_c_api_cpu_plugin.so"), []byte("not a library"), 0o644))
	_, err := backend.Open("xla:cpu", home)
	require.Error(t, err)
	b, err := backend.Open("", home)
	require.NoError(t, err)
	require.Equal(t, "go", b.Kind)
	require.NotContains(t, b.Why, "no XLA plugin in")
}
