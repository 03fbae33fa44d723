package workload

import "actormesh/chaos/script"

// openingBalance is what an account holds before its first call.
const openingBalance = 1000

// initial returns the state of an actor before its first call.
func initial(k script.Kind) State {
	if k == script.Account {
		return State{Value: openingBalance}
	}
	return State{}
}

// apply returns the state after an entry, or the code of the error with which the
// operation is refused. The actors and the checkers share it: what they could
// differ in is not what is tested, but whether an actor's history is one.
func apply(s State, e Entry) (State, string) {
	next := s
	next.Seq++
	switch e.Method {
	case "add", "credit", "receive":
		next.Value += e.N
	case "write":
		next.Value = e.N
	case "cas":
		if s.Value != e.Old {
			return s, AppMismatch
		}
		next.Value = e.N
	case "append":
		next.Value++
		next.Digest = digest(s.Digest, e.N)
	case "transfer", "pay":
		if s.Value < e.N {
			return s, AppFunds
		}
		next.Value -= e.N
	case "acquire":
		if s.held(e.Now) {
			return s, AppHeld
		}
		next.Value++
		next.Holder, next.Until = e.Peer, e.Now+e.TTL
	case "renew":
		if !s.heldBy(e) {
			return s, AppNotHeld
		}
		next.Until = e.Now + e.TTL
	case "release":
		if !s.heldBy(e) {
			return s, AppNotHeld
		}
		next.Holder, next.Until = "", 0
	default:
		return s, appBroken
	}
	return next, ""
}

func (s State) held(now int64) bool { return s.Holder != "" && now < s.Until }

func (s State) heldBy(e Entry) bool {
	return s.held(e.Now) && s.Holder == e.Peer && s.Value == e.Token
}

// digest adds a number to a digest (FNV-1a, over its bytes).
func digest(d uint64, n int64) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	if d == 0 {
		d = offset
	}
	for range 8 {
		d = (d ^ uint64(n&0xff)) * prime
		n >>= 8
	}
	return d
}
