package mesh

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"actormesh/mesh/core"
)

// nodeStats is what a node counts: its loops publish it, and a scrape reads it.
// The counts only grow while the process lives.
type nodeStats struct {
	// What is.
	Epoch         uint64
	SlotsOwned    int
	SlotsActive   int // owned and serving
	Activations   int // actors in memory
	GossipMembers int // that gossip thinks alive, this node among them
	StoreBytes    uint64

	// What was.
	ActivationsTotal uint64
	LeasesLapsed     uint64 // a slot's majority of leases that ran out while it was owned
	DedupHits        uint64 // calls that got an earlier answer
	FencedAppends    uint64 // appends that a replica refused for a higher ballot
	ViewsAdopted     uint64
	Folds            uint64
}

// metrics is the registry of one node.
type metrics struct {
	registry *prometheus.Registry
	calls    [len(httpCodes)]prometheus.Counter // by core.Code
	latency  prometheus.Histogram
	fsync    prometheus.Histogram
	batch    prometheus.Histogram
	handover prometheus.Histogram
}

// newMetrics returns the metrics of a node; read is called for each scrape, from
// any goroutine.
func newMetrics(read func() nodeStats) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		latency: newHistogram("mesh_call_seconds", "Time from a call's arrival at this node to its answer.",
			prometheus.ExponentialBuckets(100e-6, 2, 18)), // 100 µs to 13 s
		fsync: newHistogram("mesh_fsync_seconds", "Time of one commit of the store with its fsync.",
			prometheus.ExponentialBuckets(50e-6, 2, 16)), // 50 µs to 1.6 s
		batch: newHistogram("mesh_commit_batch_entries", "Log entries made durable by one fsync.",
			prometheus.ExponentialBuckets(1, 2, 13)), // 1 to 4096
		handover: newHistogram("mesh_handover_seconds", "Time from the view that appoints this node as a slot's owner until it serves.",
			prometheus.ExponentialBuckets(1e-3, 2, 16)), // 1 ms to 33 s
	}
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mesh_calls_total",
		Help: "Calls that came to this node from clients, by the code of their end.",
	}, []string{"code"})
	for code := range m.calls {
		m.calls[code] = calls.WithLabelValues(httpCodes[code].code)
	}
	m.registry.MustRegister(calls, m.latency, m.fsync, m.batch, m.handover, newStatsCollector(read),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func newHistogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
}

// page returns the page of a scrape.
func (m *metrics) page() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// observeCall counts a call that has ended.
func (m *metrics) observeCall(code core.Code, took time.Duration) {
	if int(code) >= len(m.calls) {
		code = core.CodeOutcomeUnknown // as problemOf tells it
	}
	m.calls[code].Inc()
	m.latency.Observe(took.Seconds())
}

// observeCommit counts one durable commit of the store, of that many log
// entries.
func (m *metrics) observeCommit(entries int, took time.Duration) {
	m.fsync.Observe(took.Seconds())
	m.batch.Observe(float64(entries))
}

// observeHandover counts a slot that this node has begun to serve.
func (m *metrics) observeHandover(took time.Duration) { m.handover.Observe(took.Seconds()) }

// statsCollector turns a nodeStats into metrics when it is scraped.
type statsCollector struct {
	read  func() nodeStats
	stats []statDesc
}

type statDesc struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*nodeStats) float64
}

func newStatsCollector(read func() nodeStats) *statsCollector {
	c := &statsCollector{read: read}
	gauge := func(name, help string, value func(*nodeStats) float64) {
		c.stats = append(c.stats, statDesc{prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, value})
	}
	counter := func(name, help string, value func(*nodeStats) float64) {
		c.stats = append(c.stats, statDesc{prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, value})
	}
	gauge("mesh_epoch", "Epoch of the view that this node has adopted.",
		func(s *nodeStats) float64 { return float64(s.Epoch) })
	gauge("mesh_slots_owned", "Slots that the view gives to this node.",
		func(s *nodeStats) float64 { return float64(s.SlotsOwned) })
	gauge("mesh_slots_active", "Slots that this node owns and serves.",
		func(s *nodeStats) float64 { return float64(s.SlotsActive) })
	gauge("mesh_activations", "Actors in this node's memory.",
		func(s *nodeStats) float64 { return float64(s.Activations) })
	gauge("mesh_gossip_members", "Members that gossip thinks alive, this node among them.",
		func(s *nodeStats) float64 { return float64(s.GossipMembers) })
	gauge("mesh_store_bytes", "Bytes that the store takes on disk.",
		func(s *nodeStats) float64 { return float64(s.StoreBytes) })
	counter("mesh_activations_total", "Activations of actors.",
		func(s *nodeStats) float64 { return float64(s.ActivationsTotal) })
	counter("mesh_leases_lapsed_total", "Times that an owned slot lost its majority of leases.",
		func(s *nodeStats) float64 { return float64(s.LeasesLapsed) })
	counter("mesh_dedup_hits_total", "Calls that got the answer of an earlier one with their request id.",
		func(s *nodeStats) float64 { return float64(s.DedupHits) })
	counter("mesh_fenced_appends_total", "Appends that a replica refused, having promised a higher ballot.",
		func(s *nodeStats) float64 { return float64(s.FencedAppends) })
	counter("mesh_views_adopted_total", "Views that this node has adopted.",
		func(s *nodeStats) float64 { return float64(s.ViewsAdopted) })
	counter("mesh_folds_total", "Actors whose records were folded into their base.",
		func(s *nodeStats) float64 { return float64(s.Folds) })
	return c
}

// Describe implements prometheus.Collector.
func (c *statsCollector) Describe(out chan<- *prometheus.Desc) {
	for _, s := range c.stats {
		out <- s.desc
	}
}

// Collect implements prometheus.Collector.
func (c *statsCollector) Collect(out chan<- prometheus.Metric) {
	now := c.read()
	for _, s := range c.stats {
		out <- prometheus.MustNewConstMetric(s.desc, s.kind, s.value(&now))
	}
}
