package cluster

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is the node as well: called with start, it serves /readyz.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "start" {
		serve(os.Args[2:])
		return
	}
	goleak.VerifyTestMain(m)
}

func serve(args []string) {
	flags := flag.NewFlagSet("start", flag.ExitOnError)
	name := flags.String("name", "", "")
	data := flags.String("data", "", "")
	flags.String("listen", "", "")
	addr := flags.String("http", "", "")
	expect := flags.Int("expect", 0, "")
	flags.String("join", "", "")
	flags.Parse(args)
	if *expect == 13 {
		fmt.Println("13 is refused")
		os.Exit(3)
	}
	if err := os.MkdirAll(*data, 0o700); err != nil {
		panic(err)
	}
	fmt.Println("hello from", *name)
	http.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	panic(http.ListenAndServe(*addr, nil))
}
