package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"actormesh/chaos/script"
	"actormesh/chaos/workload"
)

// rest is what a saved run has beside its plan and its history.
type rest struct {
	Name   string           `json:"name"`
	Engine string           `json:"engine"`
	Replay string           `json:"replay"`
	Bands  []workload.Band  `json:"bands"`
	Saw    map[string]int   `json:"saw"`
	SawAll bool             `json:"saw_all"`
	Finals []workload.Final `json:"finals"`
}

func (r *Report) writeRest(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "\t")
	return e.Encode(rest{r.Name, r.Engine.String(), r.Replay, r.Run.Bands, r.Run.Saw, r.Run.SawAll, r.Run.Finals})
}

// Load reads a report that Save has written, and checks its run again. What the
// engine itself had found is not in it.
func Load(dir string) (*Report, error) {
	var texts [3]string
	for i, name := range []string{"plan.chaos", "history.txt", "run.json"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		texts[i] = string(b)
	}
	s, err := script.Parse(texts[0])
	if err != nil {
		return nil, fmt.Errorf("plan.chaos: %w", err)
	}
	history, err := workload.ParseHistory(texts[1])
	if err != nil {
		return nil, fmt.Errorf("history.txt: %w", err)
	}
	var more rest
	if err := json.Unmarshal([]byte(texts[2]), &more); err != nil {
		return nil, fmt.Errorf("run.json: %w", err)
	}
	engine, err := script.ParseEngine(more.Engine)
	if err != nil {
		return nil, fmt.Errorf("run.json: %w", err)
	}
	run := &workload.Run{
		Plan: script.Expand(s, s.Seed), History: history, Finals: more.Finals, Bands: more.Bands, Saw: more.Saw, SawAll: more.SawAll,
	}
	return &Report{Name: more.Name, Engine: engine, Run: run, Replay: more.Replay, Findings: workload.Check(run)}, nil
}
