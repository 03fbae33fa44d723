package local

import (
	"runtime"
	"sync"
)

// keptThread takes what a thread is to do that lives as long as the program. A node's
// process ends with the thread that started it (PDEATHSIG), and threads end with the
// goroutines that kept them to themselves: those of traps, which may have served
// others before.
var keptThread = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go keepThread(work)
	return work
})

func keepThread(work <-chan func()) {
	runtime.LockOSThread()
	for do := range work {
		do()
	}
}

// onKeptThread starts a process from a thread that lives as long as the program.
func onKeptThread(start func() error) error {
	done := make(chan error)
	keptThread() <- func() { done <- start() }
	return <-done
}
