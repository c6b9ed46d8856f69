package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"
)

// unitRow is what of a row of units its readers rely on.
type unitRow struct {
	Site              string   `json:"site" parquet:"site,optional"`
	Unit              int64    `json:"unit" parquet:"unit,optional"`
	Dead              bool     `json:"dead" parquet:"dead,optional"`
	Selectivity       *float64 `json:"selectivity" parquet:"selectivity,optional"`
	PreferredClass    *int64   `json:"preferred_class" parquet:"preferred_class,optional"`
	MutualInformation float64  `json:"mutual_information" parquet:"mutual_information,optional"`
	L1                float64  `json:"l1_norm" parquet:"l1_norm,optional"`
	DeltaLoss         float64  `json:"delta_loss" parquet:"delta_loss,optional"`
	DeltaAccuracy     float64  `json:"delta_accuracy" parquet:"delta_accuracy,optional"`
	WorstClass        int64    `json:"worst_class" parquet:"worst_class,optional"`
	WorstClassDrop    float64  `json:"worst_class_drop" parquet:"worst_class_drop,optional"`
}

const unitColumns = "site,unit,dead,selectivity,preferred_class,mutual_information,mutual_information_plug_in," +
	"mutual_information_null,kl_selectivity,ccmas,d_prime,roc_auc,precision,top_class,sparseness,zero_fraction," +
	"negative_fraction,entropy,class_entropy,mean,sd,l1_norm"

func TestUnits(t *testing.T) {
	s := newShell(t)
	s.net()
	out, progress := s.ok("units", "net", "--sites", "fc1,fc2", "--examples", "150", "--csv", "u.csv", "--parquet", "u.parquet", "--json", "-")
	require.Contains(t, progress, "measuring units of net: 150 examples in ")
	require.Contains(t, progress, "ablating single units of net: 3150 examples × edits in ")
	var rows []unitRow
	require.NoError(t, json.Unmarshal([]byte(out), &rows))
	require.Len(t, rows, 20)
	require.Equal(t, "fc2", rows[12].Site)
	require.EqualValues(t, 0, rows[12].Unit)
	for _, row := range rows {
		require.Equal(t, row.Dead, row.Selectivity == nil)
	}
	text, err := os.ReadFile(s.path("u.csv"))
	require.NoError(t, err)
	records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	require.NoError(t, err)
	require.Equal(t, unitColumns+",delta_loss,delta_accuracy,worst_class,worst_class_drop", strings.Join(records[0], ","))
	require.Len(t, records, 21)
	file, err := os.ReadFile(s.path("u.parquet"))
	require.NoError(t, err)
	typed, err := parquet.Read[unitRow](bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	require.Equal(t, rows, typed)

	// The impact is what ablate --each says.
	each, progress := s.ok("ablate", "net", "--each", "--sites", "fc1,fc2", "--split", "test", "--examples", "150", "--json", "-")
	require.Empty(t, progress, "from the store")
	var impacts struct {
		Impacts []struct {
			Loss  float64 `json:"delta_loss"`
			Worst int64   `json:"worst_class"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(each), &impacts))
	require.Len(t, impacts.Impacts, 20)
	for i, row := range rows {
		require.Equal(t, impacts.Impacts[i].Loss, row.DeltaLoss)
		require.Equal(t, impacts.Impacts[i].Worst, row.WorstClass)
	}

	alone, _ := s.ok("units", "net", "--no-impact", "--examples", "150", "--sites", "fc1,fc2", "--csv", "-")
	require.True(t, strings.HasPrefix(alone, unitColumns+"\n"), alone)
	table, progress := s.ok("units", "net", "--no-impact", "--examples", "100", "--sites", "fc2", "--bins", "5", "--seed", "3")
	require.Contains(t, table, "net: Units on 100 examples: mutual information in bits, 5 bins")
	require.Contains(t, table, "of 8 units are dead")
	require.Contains(t, progress, "measuring units of net: 100 examples")

	within, _ := s.ok("units", "net", "--within", "20pt", "--csv", "-")
	require.True(t, strings.HasPrefix(within, unitColumns+",delta_loss,delta_accuracy,worst_class,worst_class_drop,half_width\n"), within)

	for want, flags := range map[string][]string{
		"it goes with neither --no-impact nor":      {"--within", "1pt", "--no-impact"},
		"--within \"1\": a number of percentage":    {"--within", "1"},
		"--confidence says how sure":                {"--confidence", "0.9"},
		`no site "fc9", the network has [fc1 fc2]`:  {"--sites", "fc9"},
		`split "dev" is not one of train, test`:     {"--split", "dev"},
		"permutations is 3, at least 10":            {"--permutations", "3"},
		"--bins is 0":                               {"--bins", "0"},
		"standard output (-) can take one":          {"--csv", "-", "--json", "-"},
		"--parquet nowhere/u.parquet: cannot write": {"--parquet", "nowhere/u.parquet"},
	} {
		message := s.fails(append([]string{"units", "net"}, flags...)...)
		require.Contains(t, message, want)
		require.Equal(t, 1, strings.Count(message, "\n"), message)
	}
}

func TestUnitsOverTraining(t *testing.T) {
	s := newShell(t)
	s.ok("train", "--examples", "200", "--net", "mlp:12,8", "--epochs", "4", "--checkpoints", "0,1,4", "--selectivity-alpha", "-0.5", "--name", "net", "-q")
	shown, _ := s.ok("runs", "show", "net")
	require.Contains(t, shown, "class selectivity regularised, with α")
	out, progress := s.ok("units", "net", "--over-training", "--examples", "100")
	require.Contains(t, progress, "ablating single units of net@1: 2100 examples × edits")
	require.Contains(t, out, "net over training, on 100 test examples")
	out, progress = s.ok("units", "net", "--over-training", "--examples", "100", "--json", "-", "--png", "c.png", "--parquet", "c.parquet")
	require.Empty(t, progress, "from the store")
	type line struct {
		Epoch       int64    `json:"epoch" parquet:"epoch,optional"`
		Layer       string   `json:"layer" parquet:"layer,optional"`
		Units       int64    `json:"units" parquet:"units,optional"`
		Selectivity *float64 `json:"selectivity" parquet:"selectivity,optional"`
		DeltaLoss   *float64 `json:"delta_loss" parquet:"delta_loss,optional"`
		TestLoss    *float64 `json:"test_loss" parquet:"test_loss,optional"`
	}
	var rows []line
	require.NoError(t, json.Unmarshal([]byte(out), &rows))
	require.Len(t, rows, 9)
	require.Equal(t, []any{int64(4), "all", int64(20)}, []any{rows[8].Epoch, rows[8].Layer, rows[8].Units})
	require.Nil(t, rows[0].TestLoss)
	require.NotNil(t, rows[8].TestLoss)
	require.NotNil(t, rows[0].DeltaLoss)
	file, err := os.ReadFile(s.path("c.parquet"))
	require.NoError(t, err)
	typed, err := parquet.Read[line](bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	require.Equal(t, rows, typed)
	isPNG(t, s.path("c.png"))
	alone, _ := s.ok("units", "net", "--over-training", "--examples", "100", "--no-impact", "--csv", "-", "--parquet", "alone.parquet")
	require.True(t, strings.HasPrefix(alone, "epoch,layer,units,dead,selectivity_lower,"), alone)

	s.ok("train", "--examples", "50", "--net", "mlp:3", "--epochs", "1", "--name", "none", "-q")
	for want, args := range map[string][]string{
		"run none kept no checkpoints":       {"none", "--over-training"},
		"is itself the checkpoint of epoch ": {"net@1", "--over-training"},
		"--png draws what --over-training":   {"net", "--png", "c.png"},
		"must end in .png or .svg":           {"net", "--over-training", "--png", "c.jpg"},
	} {
		require.Contains(t, s.fails(append([]string{"units"}, args...)...), want)
	}
	require.Contains(t, s.fails("train", "--selectivity-alpha", "NaN"), "selectivity_alpha is NaN; allowed: a finite number")
}

func TestUnit(t *testing.T) {
	s := newShell(t)
	s.net()
	out, _ := s.ok("unit", "net", "fc2", "3", "--examples", "100")
	require.Contains(t, out, "Unit 3 of fc2 of net by class, on 100 test examples: accuracy ")
	out, _ = s.ok("unit", "net", "fc2", "3", "--examples", "100", "--png", "u.png", "--json", "-")
	var v struct {
		Tuning struct {
			Unit int
			Top  []struct{ Activity float64 }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &v))
	require.Equal(t, 3, v.Tuning.Unit)
	require.GreaterOrEqual(t, v.Tuning.Top[0].Activity, v.Tuning.Top[1].Activity)
	picture, err := os.ReadFile(s.path("u.png"))
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(picture, []byte("\x89PNG")))
	for want, args := range map[string][]string{
		"unit takes three arguments: ":        {"net", "fc2"},
		`unit "x" is not a number`:            {"net", "fc2", "x"},
		"the site has the units 0 to 7":       {"net", "fc2", "8"},
		`no site "fc9"`:                       {"net", "fc9", "0"},
		"must end in .png or .svg":            {"net", "fc2", "0", "--png", "u.jpg"},
		"--json nowhere/u.json: cannot write": {"net", "fc2", "0", "--json", "nowhere/u.json"},
	} {
		require.Contains(t, s.fails(append([]string{"unit"}, args...)...), want)
	}
}

func TestAblateRanked(t *testing.T) {
	s := newShell(t)
	s.net()
	curve := func(flags ...string) (correct []int, progress string) {
		out, progress := s.ok(append([]string{"ablate", "net", "--split", "test", "--examples", "100", "--points", "6", "--json", "-"}, flags...)...)
		var r struct{ Correct [][]int }
		require.NoError(t, json.Unmarshal([]byte(out), &r))
		require.Len(t, r.Correct, 1)
		return r.Correct[0], progress
	}
	up, progress := curve("--rank", "delta_loss")
	require.Contains(t, progress, "ablating single units of net", "on the training images")
	down, _ := curve("--rank", "delta_loss", "--descending")
	require.Equal(t, []int{up[0], up[5]}, []int{down[0], down[5]}, "no units and all units")
	require.Greater(t, up[2], down[2], "what matters on the training images matters on others")
	same, _ := curve("--rank", "delta_loss", "--rank-on", "train")
	require.Equal(t, up, same)

	for want, flags := range map[string][]string{
		`units cannot be ranked by "size"; there are ["dead" "selectivity"`: {"--rank", "size"},
		"--descending says how to rank":                                     {"--descending"},
		"--rank-on says how to rank":                                        {"--rank-on", "train"},
		"--rank and --each":                                                 {"--rank", "selectivity", "--each"},
		"--rank and --orders: the ranking is":                               {"--rank", "selectivity", "--orders", "3"},
		`split "dev" is not one of train, test`:                             {"--rank", "selectivity", "--rank-on", "dev"},
	} {
		require.Contains(t, s.fails(append([]string{"ablate", "net"}, flags...)...), want)
	}
}
