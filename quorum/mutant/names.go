package mutant

// The register: who may vote, and what is chosen.
const (
	LowAccept         Name = "low-accept"
	EqualBallot       Name = "equal-ballot"
	ValueIgnored      Name = "value-ignored"
	LiveMajority      Name = "live-majority"
	PromiseForgotten  Name = "promise-forgotten"
	NumberReused      Name = "number-reused"
	PromiseUnsynced   Name = "promise-unsynced"
	OlderView         Name = "older-view"
	UnregisteredVoter Name = "unregistered-voter"
	OldBootVotes      Name = "old-boot-votes"
	CopyVotes         Name = "copy-votes"
	TakeoverSkipped   Name = "takeover-skipped"
	LateUnmarked      Name = "late-unmarked"
	PromiseOfAnyStart Name = "promise-of-any-start"
	StartsUncovered   Name = "starts-uncovered"
	FoundTwice        Name = "found-twice"
)

// The slot log.
const (
	LowAppend         Name = "low-append"
	AppendNoPromise   Name = "append-no-promise"
	SealUnsynced      Name = "seal-unsynced"
	AckUnsynced       Name = "ack-unsynced"
	CommitUnsynced    Name = "commit-unsynced"
	FromIgnored       Name = "from-ignored"
	FromLastOnly      Name = "from-last-only"
	FromClearedEarly  Name = "from-cleared-early"
	StaleReport       Name = "stale-report"
	OldCommits        Name = "old-commits"
	LearnersCount     Name = "learners-count"
	HalfMajority      Name = "half-majority"
	ActiveEarly       Name = "active-early"
	PromiseDiscarded  Name = "promise-discarded"
	StaleDiscard      Name = "stale-discard"
	FetchByAnyone     Name = "fetch-by-anyone"
	FetchFromRemoved  Name = "fetch-from-removed"
	OvertakenSnapshot Name = "overtaken-snapshot"
	BootReused        Name = "boot-reused"
	KeptAlways        Name = "kept-always"
	RoundOfOne        Name = "round-of-one"
)

// Leases.
const (
	NoMargin           Name = "no-margin"
	LeaseFromReceipt   Name = "lease-from-receipt"
	LeaseAtOnce        Name = "lease-at-once"
	RestartGrants      Name = "restart-grants"
	SealedStillGrants  Name = "sealed-still-grants"
	WaitingStillGrants Name = "waiting-still-grants"
	AnyLease           Name = "any-lease"
	OwnLease           Name = "own-lease"
	EpochAhead         Name = "epoch-ahead"
	OldBootLease       Name = "old-boot-lease"
	LapsedTurns        Name = "lapsed-turns"
	ReplyUnchecked     Name = "reply-unchecked"
	EarlyClock         Name = "early-clock"
	UnregisteredGrants Name = "unregistered-grants"
)

// Actors.
const (
	UnservedTurn     Name = "unserved-turn"
	ReplyEarly       Name = "reply-early"
	ReadUncommitted  Name = "read-uncommitted"
	TwoTurns         Name = "two-turns"
	DuplicateRuns    Name = "duplicate-runs"
	AnswerForgotten  Name = "answer-forgotten"
	ErrorKeepsState  Name = "error-keeps-state"
	HalfRecord       Name = "half-record"
	PassivateEarly   Name = "passivate-early"
	DyingDrops       Name = "dying-drops"
	NeverIdle        Name = "never-idle"
	FoldLosesAnswers Name = "fold-loses-answers"
	FoldLosesMarks   Name = "fold-loses-marks"
	FoldUncommitted  Name = "fold-uncommitted"
	NeverFolds       Name = "never-folds"
	SendEarly        Name = "send-early"
	SendTwice        Name = "send-twice"
	UnsortedActors   Name = "unsorted-actors"
)

// Turns, and the node around the cores.
const (
	OverUnchecked     Name = "over-unchecked"
	DerivedAnew       Name = "derived-anew"
	LowMarkEarly      Name = "low-mark-early"
	CallEarly         Name = "call-early"
	LostCallDenied    Name = "lost-call-denied"
	FailedSyncIgnored Name = "failed-sync-ignored"
	OldBootConnects   Name = "old-boot-connects"
)

// The store.
const (
	BootUncounted      Name = "boot-uncounted"
	StoreUnsynced      Name = "store-unsynced"
	PromisesUnread     Name = "promises-unread"
	TailUnread         Name = "tail-unread"
	SumsUnchecked      Name = "sums-unchecked"
	FoldLosesKeys      Name = "fold-loses-keys"
	FoldLosesReceived  Name = "fold-loses-received"
	FoldOfAnotherLog   Name = "fold-of-another-log"
	SnapshotLosesFolds Name = "snapshot-loses-folds"
	AnswerScans        Name = "answer-scans"
)

// The coordinator, and placement.
const (
	DeafCoordinator Name = "deaf-coordinator"
	StuckStays      Name = "stuck-stays"
	DeadOwns        Name = "dead-owns"
	UnusedGuard     Name = "unused-guard"
	JoinIgnored     Name = "join-ignored"
	UnheardCounts   Name = "unheard-counts"
)
