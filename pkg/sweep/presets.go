package sweep

import "slices"

// Presets are sweeps that need no file.
func Presets() []Spec {
	smoke := Spec{Name: "smoke", Base: Base(), Analyses: Both()}
	smoke.Base.Net, smoke.Base.Examples = "mlp:64,64", 2000
	smoke.Base.Fit.Epochs, smoke.Base.Fit.Momentum, smoke.Base.Fit.Schedule = 30, 0.9, "cosine"
	smoke.Grid = []Axis{{"corrupt", []any{0, 0.5}}, {"lr", []any{0.02, 0.1}}, {"seed", []any{1, 2}}}
	smoke.Analyses.Noise.Repeats = 5

	// Figure 3a on MNIST: networks of one topology that differ in learning rate, initial weights and order.
	mlps := Spec{Name: "mlps", Base: Base(), Analyses: Both()}
	mlps.Base.Data = "mnist"
	mlps.Base.Fit.Epochs, mlps.Base.Fit.Schedule = 60, "cosine"
	mlps.Grid = []Axis{{"lr", []any{0.01, 0.03, 0.1, 0.3}}, {"batch", []any{32, 128, 512}}, {"seed", []any{1, 2, 3, 4, 5}}}
	return []Spec{smoke, mlps}
}

// Preset returns the preset of that name.
func Preset(name string) (Spec, bool) {
	i := slices.IndexFunc(Presets(), func(s Spec) bool { return s.Name == name })
	if i < 0 {
		return Spec{}, false
	}
	return Presets()[i], true
}
