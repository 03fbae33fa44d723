package mesh

import (
	"slices"
	"sync"

	"actormesh/quorum"
	"actormesh/quorum/mutant"
)

// session numbers the requests of one process, so that each takes effect once,
// and tells each actor which of its answers nobody will ask for again. That is
// counted for each actor apart: otherwise one call that waits for long would make
// all actors remember all answers since.
type session struct {
	id quorum.SessionID

	mu   sync.Mutex
	next uint64
	open map[actorName]openRequests // of actors that have some
}

type actorName struct{ kind, id string }

// openRequests are the numbers of an actor's requests that have not ended,
// ascending: the first, which is most often the only one, and the others.
type openRequests struct {
	first uint64
	rest  []uint64
}

func newSession(env Environment) *session {
	s := &session{next: 1, open: map[actorName]openRequests{}}
	for i := range s.id {
		s.id[i] = byte(env.Random())
	}
	return s
}

// begin returns the id of a new request to an actor.
func (s *session) begin(kind, id string) quorum.RequestID {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := s.next
	s.next++
	name := actorName{kind, id}
	open, some := s.open[name]
	if some {
		open.rest = append(open.rest, number)
	} else {
		open.first = number
	}
	s.open[name] = open
	if mutant.On(mutant.LowMarkEarly) {
		return quorum.RequestID{Session: s.id, Number: number, Low: number}
	}
	return quorum.RequestID{Session: s.id, Number: number, Low: open.first}
}

// end says that nobody will ask for the answer to a request to the actor again.
func (s *session) end(kind, id string, request quorum.RequestID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := actorName{kind, id}
	open := s.open[name]
	switch i, found := slices.BinarySearch(open.rest, request.Number); {
	case found:
		open.rest = slices.Delete(open.rest, i, i+1)
	case len(open.rest) == 0:
		delete(s.open, name)
		return
	default:
		open.first = open.rest[0]
		open.rest = slices.Delete(open.rest, 0, 1)
	}
	s.open[name] = open
}
