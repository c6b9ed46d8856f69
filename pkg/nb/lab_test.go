package nb

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// Cells of one session share a figure that was computed anew: the second one reads the result the first has written.
func TestFigureIsRecomputedOncePerSession(t *testing.T) {
	t.Chdir("../../notebooks")
	session := t.TempDir()
	t.Setenv("GONB_TMP_DIR", session)
	t.Setenv("DIRECTIONS_HOME", t.TempDir())
	t.Setenv("DIRECTIONS_DATA", "")
	t.Setenv(PresetVar, "")

	t.Setenv(RecomputeVar, "")
	committed := Figure("1a")
	require.Equal(t, "quick", committed.Preset)
	require.True(t, committed.Passed())
	require.NoFileExists(t, recomputed("1a", "quick"), "nothing was computed")

	t.Setenv(RecomputeVar, "1")
	require.NoError(t, os.WriteFile(recomputed("1a", "quick"), nil, 0o644)) // as an earlier cell of the session does
	require.Equal(t, committed, Figure("1a"))

	t.Setenv("GONB_TMP_DIR", "")
	require.Empty(t, recomputed("1a", "quick"), "outside a notebook there is no session")
}
