package sweep

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/seed-ea9a9d67/directions/pkg/lab"
)

// parameter is something that networks of a sweep may differ in. Its name is that of the flag of `directions train`, with
// _ for -.
type parameter struct {
	name string
	// at are the fields that it sets, as pointers to string kinds, float64, int, uint64 or []int.
	at       func(*lab.Spec) []any
	positive bool // 0 would mean the default, and is refused
}

func parameters() []parameter {
	one := func(at func(*lab.Spec) any) func(*lab.Spec) []any {
		return func(s *lab.Spec) []any { return []any{at(s)} }
	}
	return []parameter{
		{"data", one(func(s *lab.Spec) any { return &s.Data }), false},
		{"examples", one(func(s *lab.Spec) any { return &s.Examples }), false},
		{"net", one(func(s *lab.Spec) any { return &s.Net }), false},
		{"input", one(func(s *lab.Spec) any { return &s.Input }), false},
		{"corrupt", one(func(s *lab.Spec) any { return &s.Corrupt.Fraction }), false},
		{"corrupt_method", one(func(s *lab.Spec) any { return &s.Corrupt.Method }), false},
		{"corrupt_seed", one(func(s *lab.Spec) any { return &s.Corrupt.Seed }), false},
		{"optimizer", one(func(s *lab.Spec) any { return &s.Fit.Optimizer }), false},
		{"lr", one(func(s *lab.Spec) any { return &s.Fit.LR }), true},
		{"momentum", one(func(s *lab.Spec) any { return &s.Fit.Momentum }), false},
		{"weight_decay", one(func(s *lab.Spec) any { return &s.Fit.WeightDecay }), false},
		{"schedule", one(func(s *lab.Spec) any { return &s.Fit.Schedule }), false},
		{"batch", one(func(s *lab.Spec) any { return &s.Fit.Batch }), true},
		{"epochs", one(func(s *lab.Spec) any { return &s.Fit.Epochs }), true},
		{"dropout", one(func(s *lab.Spec) any { return &s.Fit.Dropout }), false},
		{"selectivity_alpha", one(func(s *lab.Spec) any { return &s.Fit.SelectivityAlpha }), false},
		{"stop_at", one(func(s *lab.Spec) any { return &s.Fit.StopAt }), false},
		{"evaluate", one(func(s *lab.Spec) any { return &s.Fit.Evaluate }), true},
		{"checkpoints", one(func(s *lab.Spec) any { return &s.Fit.Checkpoints }), false},
		{"seed", func(s *lab.Spec) []any {
			return []any{&s.Fit.InitSeed, &s.Fit.OrderSeed, &s.Fit.DropoutSeed}
		}, false},
		{"init_seed", one(func(s *lab.Spec) any { return &s.Fit.InitSeed }), false},
		{"order_seed", one(func(s *lab.Spec) any { return &s.Fit.OrderSeed }), false},
		{"dropout_seed", one(func(s *lab.Spec) any { return &s.Fit.DropoutSeed }), false},
	}
}

// Parameters names what networks of a sweep may differ in. "seed" stands for init_seed, order_seed and dropout_seed.
func Parameters() (names []string) {
	for _, p := range parameters() {
		names = append(names, p.name)
	}
	return names
}

func lookup(name string) (parameter, error) {
	for _, p := range parameters() {
		if p.name == name {
			return p, nil
		}
	}
	return parameter{}, fmt.Errorf("no parameter %q; there are %s", name, strings.Join(Parameters(), ", "))
}

// clash tells whether two parameters set a field in common.
func clash(a, b parameter) bool {
	var s lab.Spec
	for _, x := range a.at(&s) {
		if slices.Contains(b.at(&s), x) {
			return true
		}
	}
	return false
}

// integer tells whether the parameter takes whole numbers only.
func (p parameter) integer() bool {
	switch p.at(&lab.Spec{})[0].(type) {
	case *int, *uint64:
		return true
	}
	return false
}

// set gives the parameter a value: a string, an int, uint64 or float64, or a list of these.
func (p parameter) set(s *lab.Spec, value any) error {
	for _, field := range p.at(s) {
		if err := assign(field, value); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if p.positive && reflect.ValueOf(p.at(s)[0]).Elem().IsZero() {
		return fmt.Errorf("%s is %v, it must be greater than 0; leave it out for the default", p.name, value)
	}
	return nil
}

// get is the value of the parameter as a cell of a table: a string, int or float64, nil for an empty string.
func (p parameter) get(s lab.Spec) any {
	switch v := reflect.ValueOf(p.at(&s)[0]).Elem(); v.Kind() {
	case reflect.String:
		if v.Len() == 0 {
			return nil
		}
		return v.String()
	case reflect.Uint64:
		return int(v.Uint())
	case reflect.Slice:
		if v.Len() == 0 {
			return nil
		}
		return strings.Trim(fmt.Sprint(v.Interface()), "[]")
	default:
		return v.Interface()
	}
}

func assign(field, value any) error {
	to := reflect.ValueOf(field).Elem()
	switch to.Kind() {
	case reflect.String:
		if v := reflect.ValueOf(value); v.IsValid() && v.Kind() == reflect.String {
			to.SetString(v.String())
			return nil
		}
		return fmt.Errorf("%v (%T) is not a text", value, value)
	case reflect.Float64:
		x, ok := float(value)
		if !ok || math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("%v is not a number", value)
		}
		to.SetFloat(x)
	case reflect.Int:
		x, ok := whole(value)
		if !ok {
			return fmt.Errorf("%v is not a whole number", value)
		}
		to.SetInt(x)
	case reflect.Uint64: // tables have no room for the upper half of all seeds
		x, ok := whole(value)
		if !ok || x < 0 {
			return fmt.Errorf("%v is not a seed: a whole number from 0 to %d", value, math.MaxInt64)
		}
		to.SetUint(uint64(x))
	case reflect.Slice:
		list := reflect.ValueOf(value)
		if !list.IsValid() || list.Kind() != reflect.Slice {
			return fmt.Errorf("%v is not a list of whole numbers", value)
		}
		numbers := []int{}
		for i := range list.Len() {
			x, ok := whole(list.Index(i).Interface())
			if !ok {
				return fmt.Errorf("%v is not a whole number", list.Index(i))
			}
			numbers = append(numbers, int(x))
		}
		to.Set(reflect.ValueOf(numbers))
	}
	return nil
}

func float(value any) (float64, bool) {
	switch x := value.(type) {
	case float64:
		return x, true
	case int:
		return float64(x), true
	case uint64:
		return float64(x), true
	}
	return 0, false
}

func whole(value any) (int64, bool) {
	switch x := value.(type) {
	case int:
		return int64(x), true
	case uint64:
		return int64(x), x <= math.MaxInt64
	case float64:
		return int64(x), x == math.Trunc(x) && math.Abs(x) <= 1<<53
	}
	return 0, false
}
