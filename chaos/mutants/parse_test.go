package main

import "testing"

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		out  string
		want failure
	}{
		"a seed": {
			"--- FAIL: TestSlot (0.07s)\n    slot_test.go:441: seed 113: node 4: damaged\nFAIL\n",
			failure{test: "TestSlot", seed: "113", message: "seed 113: node 4: damaged"},
		},
		"a script": {
			"--- FAIL: TestScripts (0.01s)\n    --- FAIL: TestScripts/duel (0.00s)\n        script_test.go:34: \n            duel.txt:9:\n",
			failure{test: "TestScripts/duel", message: "it goes another way than the script says"},
		},
		"a panic": {
			"panic: seed 3: index out of range\n\ngoroutine 9 [running]:\nactormesh/quorum.(*lead).advance()\nactormesh/quorum.TestX(0x1)\n",
			failure{test: "TestX", seed: "3", message: "panic: seed 3: index out of range"},
		},
		"a hang": {
			"panic: test timed out after 20s\n\trunning tests:\n\t\tTestX (20s)\n\ngoroutine 1 [running]:\n",
			failure{test: "TestX", message: "hangs", hung: true},
		},
	} {
		got := *parse(test.out)
		test.want.output = test.out
		if got != test.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
