package core

import (
	"actormesh/quorum"
	"actormesh/ring"
)

// QuorumRow returns a row of a view as the slot logs know it.
func QuorumRow(r *ring.Row) quorum.Row {
	row := quorum.Row{
		Epoch:    quorum.Epoch(r.Epoch),
		Replicas: toQuorum(r.Replicas),
		Learners: toQuorum(r.Learners),
	}
	for _, set := range r.From {
		row.From = append(row.From, toQuorum(set))
	}
	return row
}
