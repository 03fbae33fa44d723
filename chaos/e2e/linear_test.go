package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"actormesh/chaos/cluster"

	"github.com/anishathalye/porcupine"
)

const (
	linearClients = 24
	linearOps     = 40 // of each client
	linearTimeout = 60 * time.Second
)

type counterInput struct {
	add int64 // 0 reads
}

// counterModel is a number that starts at 0 and answers what it is.
var counterModel = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, output any) (bool, any) {
		next := state.(int64) + input.(counterInput).add
		return output.(int64) == next, next
	},
	DescribeOperation: func(input, output any) string {
		if n := input.(counterInput).add; n != 0 {
			return fmt.Sprintf("add %d → %d", n, output)
		}
		return fmt.Sprintf("get → %d", output)
	},
}

// Many clients add to one counter through all nodes while its owner is killed.
// Nothing is lost, nothing counts twice, and there is an order of all calls
// that explains every answer.
func TestE2ELinearizable(t *testing.T) {
	m := start(t, 3, "")
	const id = "shared"
	ctx, cancel := context.WithTimeout(t.Context(), linearTimeout)
	defer cancel()

	var done atomic.Int64
	half := make(chan struct{})
	histories := make([][]porcupine.Operation, linearClients)
	errs := make([]error, linearClients+1)
	began := time.Now()
	var wg sync.WaitGroup
	for c := range linearClients {
		wg.Go(func() {
			histories[c], errs[c] = countUp(ctx, m, id, c, began, func() {
				if done.Add(1) == linearClients*linearOps/2 {
					close(half)
				}
			})
		})
	}
	wg.Go(func() { errs[linearClients] = killOwner(ctx, m, id, half) })
	wg.Wait()
	m.must(errors.Join(errs...))

	var history []porcupine.Operation
	var sum int64
	for _, h := range histories {
		for _, op := range h {
			sum += op.Input.(counterInput).add
		}
		history = append(history, h...)
	}
	if got := m.get(id); got != sum {
		t.Errorf("the total is %d, want %d", got, sum)
	}
	if r, info := porcupine.CheckOperationsVerbose(counterModel, history, linearTimeout); r != porcupine.Ok {
		t.Errorf("the history is %s", r)
		saveHistory(t, info)
	}
}

// countUp is one client: three adds, and a read.
func countUp(ctx context.Context, m *mesh, id string, client int, began time.Time, done func()) ([]porcupine.Operation, error) {
	var ops []porcupine.Operation
	for i := range linearOps {
		call := cluster.Call{Kind: "counter", ID: id, Method: "get"}
		var in counterInput
		if i%4 < 3 {
			in.add = int64(client + 1)
			call.Method, call.Arg, call.Key = "add", addArg{in.add}, fmt.Sprintf("c%d-%d", client, i)
		}
		called := time.Since(began)
		answer, _, err := m.Client.Persist(ctx, m.Addrs(), client+i, call)
		returned := time.Since(began)
		if err != nil {
			return ops, err
		}
		v, err := decodeValue(answer)
		if err != nil {
			return ops, err
		}
		ops = append(ops, porcupine.Operation{
			ClientId: client, Input: in, Output: v, Call: int64(called), Return: int64(returned),
		})
		done()
	}
	return ops, nil
}

func killOwner(ctx context.Context, m *mesh, id string, when <-chan struct{}) error {
	select {
	case <-when:
	case <-ctx.Done():
		return ctx.Err()
	}
	owner, err := m.Owner(ctx, "counter", id)
	if err != nil {
		return err
	}
	if err := owner.Kill(); err != nil {
		return err
	}
	return owner.Start()
}

// saveHistory leaves a picture of a history that cannot be explained.
func saveHistory(t *testing.T, info porcupine.LinearizationInfo) {
	name := t.ArtifactDir() + "/history.html"
	if err := porcupine.VisualizePath(counterModel, info, name); err != nil {
		t.Error(err)
		return
	}
	t.Log("see", name)
}
