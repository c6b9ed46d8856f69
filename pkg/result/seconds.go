package result

// Seconds says where the wall time of an analysis went. Sessions of an interrupted and resumed analysis add up.
type Seconds struct {
	// Prepare is spent before the first evaluation: checking the request and drawing orderings. Whoever loads or compiles
	// a network for the analysis adds that time here and to Total.
	Prepare  float64 `json:"prepare"`
	Evaluate float64 `json:"evaluate"` // in the evaluator
	Total    float64 `json:"total"`    // all of it, saving partial results included
}
