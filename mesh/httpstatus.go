package mesh

import "actormesh/quorum"

// Status is the answer of GET /v1/status: the mesh as one node sees it.
type Status struct {
	Cluster     string         `json:"cluster"` // empty until the node belongs to one
	Node        string         `json:"node"`
	Epoch       quorum.Epoch   `json:"epoch"`
	Coordinator string         `json:"coordinator"`
	Quorum      bool           `json:"quorum"`      // the node hears a majority of the voters
	Replication int            `json:"replication"` // replicas of a slot that the mesh is to have
	Slots       SlotCounts     `json:"slots"`
	Members     []MemberStatus `json:"members"` // by name
}

// SlotCounts counts slots: all of the mesh, those that their owners serve as
// far as the node knows, and those that the node owns.
type SlotCounts struct {
	Total  int `json:"total"`
	Active int `json:"active"`
	Owned  int `json:"owned"`
}

// MemberStatus is one member of the view.
type MemberStatus struct {
	Name  string `json:"name"`
	Disk  string `json:"disk"` // quorum.NodeID, in hexadecimal
	Addr  string `json:"addr"`
	HTTP  string `json:"http"`
	State string `json:"state"` // what gossip thinks: "alive", "suspect", "dead", "left"
	Zone  string `json:"zone"`
	Voter bool   `json:"voter"`
	Owned int    `json:"owned"` // slots
}

// SlotStatus is one slot of GET /v1/slots: the view's table, and what the node
// knows of the slot's log.
type SlotStatus struct {
	Slot     quorum.SlotID `json:"slot"`
	Epoch    quorum.Epoch  `json:"epoch"`    // the slot epoch
	Replicas []string      `json:"replicas"` // names, the owner first
	Learners []string      `json:"learners"`
	From     [][]string    `json:"from"` // earlier sets that the owner must still seal
	Active   bool          `json:"active"`
	Last     quorum.LSN    `json:"last"`   // of this node's replica; 0 where it has none
	Commit   quorum.LSN    `json:"commit"` // of this node's replica; 0 where it has none
}

// ActorStatus is the answer of GET /v1/actors/{kind}/{id}: where an actor lives.
type ActorStatus struct {
	Slot   quorum.SlotID `json:"slot"`
	Owner  string        `json:"owner"`
	Epoch  quorum.Epoch  `json:"epoch"`  // the slot epoch
	Active bool          `json:"active"` // in its owner's memory
	LSN    quorum.LSN    `json:"lsn"`    // of its last record; 0 for none
}

// KindStatus is one kind of GET /v1/kinds.
type KindStatus struct {
	Kind    string         `json:"kind"`
	Methods []MethodStatus `json:"methods"` // by name
}

// MethodStatus is one method of a kind.
type MethodStatus struct {
	Name string `json:"name"`
	Read bool   `json:"read"` // it only reads
}
