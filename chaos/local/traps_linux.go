package local

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"actormesh/chaos/cluster"
	"actormesh/chaos/script"
)

// traps is a Ground on which disks fail: system calls of the processes wait until
// it has said what becomes of them. Most go on as if nothing had been.
type traps struct {
	Ground
	seed    uint64
	calls   []uint32 // that wait
	loses   bool     // what is not synced, in some fault
	running sync.WaitGroup

	mu     sync.Mutex
	disks  map[*cluster.Node]*disk
	counts map[string]int
	err    error // why what was seen of the disks is not all
}

// disk is what a node's process is told of its disk, and what it keeps.
type disk struct {
	failing int             // faults for which no fsync succeeds
	slow    []time.Duration // each makes an fsync take that much longer
	full    int             // faults for which there is hardly any room
	room    int64           // bytes, while there is hardly any
	torn    int             // faults for which a part stays of what was not synced
	lose    int             // faults for which a process that ends takes that with it

	misdirect *rand.Rand // says where the next write goes that another one was before; nil for none

	unsynced unsynced
	ended    chan struct{} // closed when the last process has, and all its calls are seen
}

// The system calls that put files on the disk, and those that need room there.
var (
	syncCalls = []uint32{unix.SYS_FSYNC, unix.SYS_FDATASYNC}
	roomCalls = []uint32{unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_STATFS}
)

// trap returns a ground that can do the plan's faults to disks, on another ground.
func trap(ground Ground, plan *script.Plan) Ground {
	t := &traps{Ground: ground, seed: plan.Seed, disks: map[*cluster.Node]*disk{}, counts: map[string]int{}}
	for _, f := range plan.Faults {
		switch {
		case f.Mode == script.EIO, f.Mode == script.Slow:
			t.calls = append(t.calls, syncCalls...)
		case f.Mode == script.Full, f.Mode == script.Misdirect:
			t.calls = append(t.calls, roomCalls...)
		case f.Mode == script.Torn, f.Mode == script.Lose, f.Verb == script.PowerLoss:
			t.loses = true
			t.calls = append(append(t.calls, syncCalls...), roomCalls...)
		}
	}
	if len(t.calls) == 0 {
		return ground
	}
	slices.Sort(t.calls)
	t.calls = slices.Compact(t.calls)
	return t
}

// disk returns what is told to a node. The caller has the lock.
func (t *traps) disk(n *cluster.Node) *disk {
	d := t.disks[n]
	if d == nil {
		d = &disk{unsynced: unsynced{}, ended: make(chan struct{})}
		close(d.ended)
		t.disks[n] = d
	}
	return d
}

// Start implements Ground. A process has the traps of the thread that starts it,
// which has to live on, for it takes its processes with it. They cannot be taken off
// again, so that the thread is of no other use, and ends with the goroutine.
func (t *traps) Start(n *cluster.Node) error {
	t.mu.Lock()
	d := t.disk(n)
	before, ended := d.ended, make(chan struct{})
	d.ended = ended
	t.mu.Unlock()
	<-before
	trapped := make(chan *os.File)
	started := make(chan error)
	t.running.Go(func() {
		runtime.LockOSThread()
		listener, err := trapThread(t.calls)
		if trapped <- listener; err == nil {
			err = n.Start() // from this thread
		}
		if started <- err; err == nil {
			<-n.Exited()
		}
	})
	listener := <-trapped // on a thread that has no traps
	var listening sync.WaitGroup
	if listener != nil {
		listening.Go(func() { t.listen(listener, n) })
	}
	err := <-started
	t.running.Go(func() {
		defer close(ended)
		if err == nil {
			<-n.Exited()
		}
		if listener != nil {
			listener.Close()
		}
		listening.Wait()
		t.mu.Lock()
		defer t.mu.Unlock()
		if d.lose > 0 && err == nil {
			t.losePower(n, d, 0)
		}
	})
	return err
}

// losePower takes from a disk what was not synced. The caller has the lock.
func (t *traps) losePower(n *cluster.Node, d *disk, at time.Duration) {
	var torn *rand.Rand
	if d.torn > 0 {
		torn = rand.New(rand.NewPCG(t.seed, uint64(at)))
	}
	lost, err := d.unsynced.lose(n.Data, torn)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // there is no disk yet
	}
	t.err = errors.Join(t.err, err)
	t.counts["disk crash"]++
	t.counts["unsynced write lost"] += lost
	if lost > 0 {
		t.counts["crash before an fsync"]++
	}
}

// verdict is what becomes of a system call: it fails, or it has been done in the
// kernel's place and returns a value, or it is the kernel's to do.
type verdict struct {
	errno unix.Errno
	done  bool
	value int64
	after time.Duration // it waits for so long
}

func (v verdict) reply(call *notice) reply {
	switch {
	case v.errno != 0:
		return reply{ID: call.ID, Errno: -int32(v.errno)}
	case v.done:
		return reply{ID: call.ID, Value: v.value}
	}
	return reply{ID: call.ID, Flags: replyContinue}
}

// listen answers the system calls of a process, until the listener is closed.
func (t *traps) listen(listener *os.File, n *cluster.Node) {
	eachNotice(listener, func(call *notice) {
		v := t.judge(listener, n, call)
		if v.after == 0 {
			send(listener, v.reply(call))
			return
		}
		t.running.Add(1)
		time.AfterFunc(v.after, func() {
			defer t.running.Done()
			send(listener, v.reply(call))
		})
	})
}

// judge returns what becomes of a system call.
func (t *traps) judge(listener *os.File, n *cluster.Node, call *notice) verdict {
	link := fmt.Sprintf("/proc/%d/fd/%d", call.Tid, call.Args[0])
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.disk(n)
	switch uint32(call.Call) {
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC:
		if d.failing > 0 {
			t.counts["fsync failed"]++
			return verdict{errno: unix.EIO}
		}
		if t.loses {
			t.note(listener, call, d.unsynced.synced(link))
		}
		if len(d.slow) > 0 {
			t.counts["slow fsync"]++
			return verdict{after: slices.Max(d.slow)}
		}
	case unix.SYS_STATFS:
		if d.full > 0 && tellRoom(listener, n, call, d.room) {
			t.counts["room told"]++
			return verdict{done: true}
		}
	case unix.SYS_WRITE, unix.SYS_PWRITE64:
		name, err := os.Readlink(link)
		if err == nil && strings.HasPrefix(name, n.Data+"/") {
			return t.write(listener, d, n, call, link)
		}
	}
	return verdict{}
}

// note keeps the error of what was to be learned of a system call, if that still
// waits: otherwise its process has just been killed.
func (t *traps) note(listener *os.File, call *notice, err error) {
	if err != nil && waits(listener, call) {
		t.err = errors.Join(t.err, err)
	}
}

// write judges a write to a file of the node's directory.
func (t *traps) write(listener *os.File, d *disk, n *cluster.Node, call *notice, link string) verdict {
	at, bytes := int64(call.Args[3]), int64(call.Args[2])
	var err error
	if uint32(call.Call) == unix.SYS_WRITE {
		at, err = offsetOf(call.Tid, call.Args[0])
	}
	_, size, failed := idOf(link)
	if err = errors.Join(err, failed); err != nil {
		t.note(listener, call, err)
		return verdict{}
	}
	if need := at + bytes - size; d.full > 0 && need > 0 {
		if need > d.room {
			t.counts["disk full"]++
			return verdict{errno: unix.ENOSPC}
		}
		d.room -= need
	}
	if t.loses {
		t.note(listener, call, d.unsynced.written(link, at, bytes))
	}
	if d.misdirect == nil || uint32(call.Call) != unix.SYS_WRITE || at < bytes {
		return verdict{}
	}
	err = misdirect(n.PID(), call, d.misdirect.Int64N(at-bytes+1))
	if t.note(listener, call, err); err != nil {
		return verdict{}
	}
	d.misdirect = nil
	t.counts[writeMisdirected]++
	return verdict{done: true, value: bytes}
}

// writeMisdirected is what is counted where a write went to another place.
const writeMisdirected = "write misdirected"

// misdirect does a write at another place of its file, in which the process goes on as
// if it had been done where it should be.
func misdirect(pid int, call *notice, elsewhere int64) error {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(process)
	file, err := unix.PidfdGetfd(process, int(call.Args[0]), 0)
	if err != nil {
		return err
	}
	defer unix.Close(file)
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return err
	}
	defer memory.Close()
	block := make([]byte, call.Args[2])
	if _, err := memory.ReadAt(block, int64(call.Args[1])); err != nil {
		return err
	}
	if _, err := unix.Pwrite(file, block, elsewhere); err != nil {
		return err
	}
	_, err = unix.Seek(file, int64(len(block)), io.SeekCurrent)
	return err
}

// maxPathBytes is PATH_MAX.
const maxPathBytes = 4096

// tellRoom answers a statfs with the room that is left, if it is of the node's
// directory.
func tellRoom(listener *os.File, n *cluster.Node, call *notice, room int64) bool {
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", call.Tid), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer memory.Close()
	path := make([]byte, maxPathBytes)
	got, err := memory.ReadAt(path, int64(call.Args[0]))
	end := bytes.IndexByte(path[:got], 0)
	if end < 0 || err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, unix.EIO) || !strings.HasPrefix(string(path[:end])+"/", n.Data+"/") {
		return false
	}
	var s unix.Statfs_t
	if err := unix.Statfs(n.Data, &s); err != nil {
		return false
	}
	s.Bfree = uint64(room / s.Frsize)
	s.Bavail = s.Bfree
	if !waits(listener, call) {
		return false
	}
	_, err = memory.WriteAt(unsafe.Slice((*byte)(unsafe.Pointer(&s)), unsafe.Sizeof(s)), int64(call.Args[1]))
	return err == nil
}

// The room that a full disk has left: none, or so much that its node can give way
// before that is used up.
const (
	noRoom   = 64 << 10
	someRoom = 8 << 20
)

// Below implements Ground.
func (t *traps) Below(f *script.Fault, n *cluster.Node) (undo func() error, err error) {
	t.mu.Lock()
	ended := t.disk(n).ended
	t.mu.Unlock()
	if f.Verb == script.PowerLoss {
		<-ended
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.disk(n)
	var end func()
	switch {
	case f.Verb == script.PowerLoss:
		t.losePower(n, d, f.At)
		return nil, nil
	case f.Mode == script.EIO:
		t.counts["fsync failed"] += 0 // from now on that can be asked for
		d.failing++
		end = func() { d.failing-- }
	case f.Mode == script.Slow:
		t.counts["slow fsync"] += 0
		d.slow = append(d.slow, f.Delay)
		end = func() {
			at := slices.Index(d.slow, f.Delay)
			d.slow = slices.Delete(d.slow, at, at+1)
		}
	case f.Mode == script.Full:
		d.full++
		d.room = noRoom
		if rand.New(rand.NewPCG(t.seed, uint64(f.At))).IntN(2) > 0 {
			d.room = someRoom
		}
		end = func() { d.full-- }
	case f.Mode == script.Misdirect:
		t.counts[writeMisdirected] += 0
		d.misdirect = rand.New(rand.NewPCG(t.seed, uint64(f.At)))
		end = func() {} // that is done at once
	case f.Mode == script.Torn:
		d.torn++
		end = func() { d.torn-- }
	case f.Mode == script.Lose:
		d.lose++
		end = func() { d.lose-- }
	default:
		return t.Ground.Below(f, n)
	}
	return func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		end()
		return nil
	}, nil
}

// Saw implements Ground.
func (t *traps) Saw() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := maps.Clone(t.counts)
	maps.Copy(all, t.Ground.Saw())
	return all
}

// Close implements Ground.
func (t *traps) Close() error {
	t.running.Wait()
	return errors.Join(t.err, t.Ground.Close())
}
