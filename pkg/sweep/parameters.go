package sweep

import (
	"errors"
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
	points   bool // its value is a text, percentage points with their unit
	// then, unless it is nil, fills in what belongs to the value.
	then func(*lab.Spec)
}

func parameters() []parameter {
	one := func(at func(*lab.Spec) any) func(*lab.Spec) []any {
		return func(s *lab.Spec) []any { return []any{at(s)} }
	}
	return []parameter{
		{name: "data", at: one(func(s *lab.Spec) any { return &s.Data })},
		{name: "examples", at: one(func(s *lab.Spec) any { return &s.Examples })},
		{name: "net", at: one(func(s *lab.Spec) any { return &s.Net })},
		{name: "input", at: one(func(s *lab.Spec) any { return &s.Input })},
		{name: "corrupt", at: one(func(s *lab.Spec) any { return &s.Corrupt.Fraction })},
		{name: "corrupt_method", at: one(func(s *lab.Spec) any { return &s.Corrupt.Method })},
		{name: "corrupt_seed", at: one(func(s *lab.Spec) any { return &s.Corrupt.Seed })},
		{name: "optimizer", at: one(func(s *lab.Spec) any { return &s.Fit.Optimizer })},
		{name: "lr", at: one(func(s *lab.Spec) any { return &s.Fit.LR }), positive: true},
		{name: "momentum", at: one(func(s *lab.Spec) any { return &s.Fit.Momentum })},
		{name: "weight_decay", at: one(func(s *lab.Spec) any { return &s.Fit.WeightDecay })},
		{name: "schedule", at: one(func(s *lab.Spec) any { return &s.Fit.Schedule })},
		{name: "batch", at: one(func(s *lab.Spec) any { return &s.Fit.Batch }), positive: true},
		{name: "epochs", at: one(func(s *lab.Spec) any { return &s.Fit.Epochs }), positive: true},
		{name: "dropout", at: one(func(s *lab.Spec) any { return &s.Fit.Dropout })},
		{name: "selectivity_alpha", at: one(func(s *lab.Spec) any { return &s.Fit.SelectivityAlpha })},
		{name: "stop_at", at: one(func(s *lab.Spec) any { return &s.Fit.StopAt })},
		{name: "evaluate", at: one(func(s *lab.Spec) any { return &s.Fit.Evaluate }), positive: true},
		{name: "checkpoints", at: one(func(s *lab.Spec) any { return &s.Fit.Checkpoints })},
		{name: "seed", at: func(s *lab.Spec) []any {
			return []any{&s.Fit.InitSeed, &s.Fit.OrderSeed, &s.Fit.DropoutSeed}
		}},
		{name: "init_seed", at: one(func(s *lab.Spec) any { return &s.Fit.InitSeed })},
		{name: "order_seed", at: one(func(s *lab.Spec) any { return &s.Fit.OrderSeed })},
		{name: "dropout_seed", at: one(func(s *lab.Spec) any { return &s.Fit.DropoutSeed })},
		// Of fit.Reliance, with seeds as `directions train` has them.
		{name: "auc_every", at: one(func(s *lab.Spec) any { return &s.Fit.Reliance.Every }), then: func(s *lab.Spec) {
			s.Fit.Reliance.Seed = uint64(max(0, min(s.Fit.Reliance.Every, 1)))
		}},
		{name: "auc_within", at: one(func(s *lab.Spec) any { return &s.Fit.Reliance.Bound.Within }), points: true, then: func(s *lab.Spec) {
			s.Fit.Reliance.Bound.Seed = 1
		}},
		{name: "auc_patience", at: one(func(s *lab.Spec) any { return &s.Fit.Reliance.Patience })},
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
	if p.points {
		text, ok := value.(string)
		if !ok {
			return fmt.Errorf("%s: %v (%T) is not a text: a number of percentage points with its unit, for example 1pt", p.name, value, value)
		}
		b, err := bound(text, 0, 0)
		if err == nil && text == "" {
			err = errors.New("there is no value; leave it out for exact accuracies")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		value = b.Within
	}
	for _, field := range p.at(s) {
		if err := assign(field, value); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if p.positive && reflect.ValueOf(p.at(s)[0]).Elem().IsZero() {
		return fmt.Errorf("%s is %v, it must be greater than 0; leave it out for the default", p.name, value)
	}
	if p.then != nil {
		p.then(s)
	}
	return nil
}

// get is the value of the parameter as a cell of a table: a string, int or float64 (points become a fraction), nil for an empty
// string and for what is not asked for.
func (p parameter) get(s lab.Spec) any {
	if strings.HasPrefix(p.name, "auc_") && reflect.ValueOf(p.at(&s)[0]).Elem().IsZero() {
		return nil
	}
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
