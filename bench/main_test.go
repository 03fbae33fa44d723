package bench

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// TestMain makes the test binary a node as well: called with version or start it
// answers what a benchmark asks of a meshnode.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "version" {
		fmt.Println("fake 1")
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "start" {
		playNode(os.Args[2:])
		return
	}
	goleak.VerifyTestMain(m)
}

func playNode(args []string) {
	flags := flag.NewFlagSet("start", flag.ExitOnError)
	name := flags.String("name", "", "")
	flags.String("data", "", "")
	flags.String("listen", "", "")
	addr := flags.String("http", "", "")
	flags.Int("expect", 0, "")
	flags.String("join", "", "")
	flags.String("log-format", "", "")
	flags.String("log-level", "", "")
	flags.Parse(args)
	panic(http.ListenAndServe(*addr, fakeNode(*name)))
}

// fakeNode answers as a node of a mesh of three does. The slot is whole when it
// is asked for the second time.
func fakeNode(name string) http.Handler {
	mux := http.NewServeMux()
	asked := 0
	var called sync.Map // paths of actors
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") })
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"members":[{"name":"n1","addr":"127.0.0.1:1"}]}`)
	})
	mux.HandleFunc("GET /v1/slots", func(w http.ResponseWriter, _ *http.Request) {
		asked++
		fmt.Fprintf(w, `[{"slot":0,"replicas":["%s","n8","n9"],"active":%t}]`, name, asked > 1)
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "# HELP x\nmesh_fsync_seconds_count 7\nmesh_fsync_seconds_sum 1\nprocess_cpu_seconds_total 1.5\n"+
			"mesh_store_bytes 1e6\n")
		awake := 0
		called.Range(func(any, any) bool { awake++; return true })
		fmt.Fprintf(w, "mesh_activations %d\nprocess_resident_memory_bytes %d\ngo_memstats_heap_alloc_bytes %d\n",
			awake, 3_000_000+500*awake, 2_000_000+400*awake)
	})
	mux.HandleFunc("GET /v1/actors/{kind}/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, _ := strings.CutPrefix(r.PathValue("id"), "bench-")
		key, _ := strconv.Atoi(id)
		fmt.Fprintf(w, `{"owner":"n%d"}`, key%3+1)
	})
	mux.HandleFunc("POST /v1/actors/{kind}/{id}/{method}", func(w http.ResponseWriter, r *http.Request) {
		called.Store(r.PathValue("kind")+"/"+r.PathValue("id"), true)
		var arg any
		err := json.NewDecoder(r.Body).Decode(&arg)
		if err != nil && err != io.EOF {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"kind": r.PathValue("kind"), "method": r.PathValue("method"), "arg": arg})
	})
	return mux
}
