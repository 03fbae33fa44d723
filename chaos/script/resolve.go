package script

import "slices"

// World is what a run knows of its mesh when a fault's time has come.
type World interface {
	// Members returns the names of the nodes that are in the view, by number,
	// whether or not they are up.
	Members() []string

	// Replicas returns the nodes of an actor's slot, its owner first, as the
	// newest view says.
	Replicas(actor Actor) []string

	// Coordinator returns the node that the newest view names, or "".
	Coordinator() string

	// Handover returns the owner before and after the step that a fault with
	// When has waited for, or "" for one that there is not.
	Handover() (giver, taker string)
}

// Resolve returns the nodes of each of the fault's sides, without repetition. A
// side that is nobody now is empty.
func (f *Fault) Resolve(w World) [][]string {
	out := make([][]string, len(f.Sides))
	named := map[string]bool{}
	for i, side := range f.Sides {
		for _, t := range side {
			for _, n := range t.Resolve(w) {
				if n != "" && !slices.Contains(out[i], n) {
					out[i] = append(out[i], n)
					named[n] = true
				}
			}
		}
	}
	for i, side := range f.Sides {
		if !slices.Contains(side, Target{Kind: Rest}) {
			continue
		}
		for _, n := range w.Members() {
			if !named[n] {
				out[i] = append(out[i], n)
			}
		}
	}
	return out
}

// Resolve returns the nodes that the target is now. Rest is nobody, as it is
// known only together with a fault's other sides.
func (t Target) Resolve(w World) []string {
	switch t.Kind {
	case ByName:
		return []string{t.Name}
	case OwnerOf:
		return w.Replicas(t.Actor)[:min(1, len(w.Replicas(t.Actor)))]
	case ReplicaOf:
		if r := w.Replicas(t.Actor); t.Nth < len(r) {
			return []string{r[t.Nth]}
		}
	case Coordinator:
		return []string{w.Coordinator()}
	case All:
		return w.Members()
	case MinorityWithOwner:
		return minorityWith(w.Replicas(t.Actor), w.Members())
	case Giver:
		giver, _ := w.Handover()
		return []string{giver}
	case Taker:
		_, taker := w.Handover()
		return []string{taker}
	}
	return nil
}

// minorityWith returns the owner, and of the other members those that hold no
// replica first, as many as are a minority.
func minorityWith(replicas, members []string) []string {
	if len(replicas) == 0 {
		return nil
	}
	out := []string{replicas[0]}
	size := max(1, (len(members)-1)/2)
	for _, others := range []bool{false, true} {
		for _, n := range members {
			if len(out) < size && n != replicas[0] && slices.Contains(replicas, n) == others {
				out = append(out, n)
			}
		}
	}
	return out
}

// Text returns the fault as a line says it, without its time, with these nodes on
// its sides.
func (f *Fault) Text(sides [][]string) string {
	named := *f
	named.Sides = make([][]Target, len(sides))
	for i, side := range sides {
		for _, n := range side {
			named.Sides[i] = append(named.Sides[i], Named(n))
		}
	}
	return named.text()
}

// Pair is a direction between two nodes.
type Pair struct{ From, To string }

// Pairs returns the directions of which a fault between nodes is in the way, by
// the nodes of its sides. Of a link without sides it returns none: it is of all.
func (f *Fault) Pairs(sides [][]string) []Pair {
	var pairs []Pair
	add := func(from, to []string) {
		for _, a := range from {
			for _, b := range to {
				if a != b && !slices.Contains(pairs, Pair{a, b}) {
					pairs = append(pairs, Pair{a, b})
				}
			}
		}
	}
	switch {
	case f.Verb == Ring && len(sides) == 1:
		n := len(sides[0])
		for i, a := range sides[0] {
			for j, b := range sides[0] {
				if far := (i - j + n) % n; far > 1 && far < n-1 {
					add([]string{a}, []string{b})
				}
			}
		}
	case len(sides) < 2:
	case f.Verb == CutOneWay || f.Verb == LinkFault && f.OneWay:
		add(sides[0], sides[1])
	case f.Verb == Bridge:
		add(sides[0], sides[len(sides)-1])
		add(sides[len(sides)-1], sides[0])
	default:
		for i, a := range sides {
			for j, b := range sides {
				if i != j {
					add(a, b)
				}
			}
		}
	}
	return pairs
}
